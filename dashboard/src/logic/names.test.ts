import { expect, test } from "vitest";
import { counted, splitName } from "./names";

test.each([
  ["main.(*Service).ProcessOrder", "main.(*Service).", "ProcessOrder"],
  ["main.main.func1", "main.main.", "func1"],
  ["main.Map[go.shape.int]", "main.", "Map[go.shape.int]"],
  ["encoding/json.(*Decoder).Decode", "encoding/json.(*Decoder).", "Decode"],
  ["Pool::wait(std::unique_lock<std::mutex>&)", "Pool::", "wait(std::unique_lock<std::mutex>&)"],
  ["std::vector<a::b>::at(unsigned long)", "std::vector<a::b>::", "at(unsigned long)"],
  ["<alloc::vec::Vec<T> as core::ops::Drop>::drop", "<alloc::vec::Vec<T> as core::ops::Drop>::", "drop"],
  ["app::run::{{closure}}", "app::run::", "{{closure}}"],
  ["f(a -> b::c)", "", "f(a -> b::c)"],
  ["ns::operator<(ns::A, ns::B)", "ns::operator<(ns::A, ns::", "B)"],
  ["parse_header", "", "parse_header"],
  [".hidden", "", ".hidden"],
  ["ends.", "", "ends."],
  ["", "", ""],
])("%s is cut before its telling end", (name, head, tail) => {
  expect(splitName(name)).toEqual([head, tail]);
});

test("counts and their nouns", () => {
  expect([counted(1, "process", "processes"), counted(1234, "thread")]).toEqual(["1 process", "1,234 threads"]);
});
