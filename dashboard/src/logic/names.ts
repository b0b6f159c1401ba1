// What things are called in words.

const languages: Record<string, string> = { go: "Go", rust: "Rust", c: "C", "c++": "C++" };

export function languageName(language: string): string {
  return languages[language] ?? language;
}

/** What runs inside: goroutines in Go, threads elsewhere. */
export function routinesName(language: string): string {
  return language === "go" ? "Goroutines" : "Threads";
}

/** `1 process`, `2 processes`. */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${number.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",")} ${number === 1 ? one : many}`;
}

const opening = "(<[{";
const closing = ")>]}";

/** A function's name as what may be cut, and its telling end: `main.(*Service).` and `Run`, `std::vector<int>::` and `at(unsigned long)`. */
export function splitName(name: string): [string, string] {
  let [depth, cut, last] = [0, 0, 0];
  for (let at = 0; at < name.length; at += 1) {
    const char = name[at] ?? "";
    const length = name.startsWith("::", at) ? 2 : char === "." || char === "/" ? 1 : 0;
    if (length > 0 && at > 0) {
      last = at + length;
      // Separators of arguments and of type parameters say nothing of the function.
      if (depth === 0) cut = last;
    }
    if (opening.includes(char)) depth += 1;
    else if (closing.includes(char) && name[at - 1] !== "-") depth = Math.max(depth - 1, 0);
    at += length === 2 ? 1 : 0;
  }
  // `operator<` opens nothing.
  const end = depth === 0 ? cut : last;
  return end < name.length ? [name.slice(0, end), name.slice(end)] : ["", name];
}
