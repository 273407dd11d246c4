//! The images, from the outside: formats in, bad input, freezing, drawing, and the real packs where they are.

mod demo;
mod formats;
mod freezing;
mod hostile;
mod packs;
mod shelf;
