//! Models that fastembed knows by name. Fetching them needs the cargo feature `hub`.

#[cfg(feature = "hub")]
use crate::error::Result;
use crate::error::{Error, ErrorKind};

/// The error for a model that this build cannot fetch.
#[cfg(not(feature = "hub"))]
pub(crate) fn lacking(name: &str) -> Error {
    let message = format!("model {name} cannot be fetched: this build lacks the cargo feature `hub`");
    Error::new(ErrorKind::Config, message)
}

/// The one of `known` whose repository or variant, which `names` gives, is `name`.
///
/// # Errors
///
/// [`ErrorKind::Config`] if there is none.
#[cfg(feature = "hub")]
pub(crate) fn find<T>(what: &str, name: &str, known: Vec<T>, names: impl Fn(&T) -> [String; 2]) -> Result<T> {
    let is_called = |one: &T| names(one).iter().any(|one| one.eq_ignore_ascii_case(name));
    known.into_iter().find(is_called).ok_or_else(|| {
        let message = format!("fastembed knows no {what} {name}: see its list of supported models");
        Error::new(ErrorKind::Config, message)
    })
}

/// `options` for a model that runs on `threads` threads.
///
/// # Errors
///
/// [`ErrorKind::Model`] if ONNX Runtime is not found.
#[cfg(feature = "hub")]
pub(crate) fn with_limits<M>(
    mut options: fastembed::InitOptionsWithLength<M>,
    threads: usize,
) -> Result<fastembed::InitOptionsWithLength<M>> {
    options.intra_threads = Some(threads);
    options.show_download_progress = false;
    options.environment = super::environment()?;
    Ok(options)
}

/// The error for a model that fastembed did not load.
#[cfg(feature = "hub")]
pub(crate) fn not_loaded(name: &str, error: fastembed::Error) -> Error {
    let message = format!("model {name} cannot be fetched or loaded: check the network and the cache");
    Error::new(ErrorKind::Model, message).with_source(error)
}
