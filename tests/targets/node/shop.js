// Reads the state of a file from compiled JavaScript, and says how often.
const fs = require("fs");

function readStock(file) {
  return fs.statSync(file).mode & 1;
}

function handleOrder(file) {
  let sum = 0;
  for (let i = 0; i < 5; i++) sum += readStock(file);
  return sum;
}

const times = Number(process.argv[2] ?? 100);
console.log(`ready ${process.pid}`);
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "exit") process.exit(0);
  if (line !== "go") return;
  let sum = 0;
  for (let i = 0; i < times; i++) sum += handleOrder("/dev/null");
  console.log(JSON.stringify({ functions: {}, values: { sum, reads: times * 5 } }));
});
