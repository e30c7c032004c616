//! An embedder without a model, with faults to inject.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use wellspring::embed::{Embedded, ModelInfo};
use wellspring::{Embedder, Embedding, Error, ErrorKind, Result};

pub const DIMENSIONS: usize = 64;
/// The longest text that it reads in full, in bytes.
pub const LONGEST: usize = 2_000;

/// Embeds a text by its words, so that texts that share most of their words are near.
#[derive(Debug)]
pub struct WordEmbedder {
    model: ModelInfo,
    pub broken: AtomicBool,
    pub hangs: AtomicBool,
    pub calls: AtomicUsize,
}

impl Default for WordEmbedder {
    fn default() -> Self {
        Self {
            model: ModelInfo::new("words", "1", DIMENSIONS),
            broken: AtomicBool::default(),
            hangs: AtomicBool::default(),
            calls: AtomicUsize::default(),
        }
    }
}

pub fn embed(text: &str) -> Embedding {
    let mut components = vec![0.0_f32; DIMENSIONS];
    components[0] = 0.01;
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut state = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        for component in &mut components {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *component += if state >> 63 == 0 { 1.0 } else { -1.0 };
        }
    }
    Embedding::new(&components).unwrap()
}

#[async_trait]
impl Embedder for WordEmbedder {
    fn model(&self) -> &ModelInfo {
        &self.model
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        self.calls.fetch_add(texts.len(), Ordering::SeqCst);
        // Meanwhile, other callers can join.
        tokio::task::yield_now().await;
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Embedding, "the embedder is broken"));
        }
        let one = |text: &String| {
            if text.len() > LONGEST { Embedded::TooLong } else { Embedded::Vector(embed(text)) }
        };
        Ok(texts.iter().map(one).collect())
    }
}
