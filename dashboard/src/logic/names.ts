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
