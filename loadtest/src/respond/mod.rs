//! tmp
mod answer;
mod content;
mod delay;
mod mix;
mod request;
mod script;
mod talk;
