//! Table-driven tests over byte sequences; each line of bytes is one instruction.

mod real;
