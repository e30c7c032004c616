//! `wellspring eval`: its arguments, and its reports for the terminal and as pages. The measurements are in
//! `wellspring_eval`.

mod command;
mod page;
mod text;

pub(crate) use self::command::{EvalArgs, content, progress, run};
