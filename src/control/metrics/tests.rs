//! The metrics of a data plane that the tests simulate.

mod exposition;
mod fake;
mod names;
mod sampler;
