//! The `limpet` program: everything is in the library.
fn main() {}
