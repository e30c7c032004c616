//! Several processes that share their answers through Valkey (or Redis): of those who ask the same question at the same
//! time one makes the answer, and a change that one process reports ends the answer for all of them.
//!
//! ```sh
//! valkey-server &
//! cargo run --example processes    # VALKEY_URL=valkey://host:6379 for another server
//! ```

#![expect(clippy::print_stdout, reason = "its output is what the example shows")]

use std::env;
use std::process::{Child, Command};
use std::time::Duration;

use wellspring::embed::FakeEmbedder;
use wellspring::{BoxError, Cache, Dependency, ValkeyStore};

const QUESTION: &str = "When do you open?";
const PROCESSES: usize = 3;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = env::var("VALKEY_URL").unwrap_or_else(|_| "valkey://localhost:6379".into());
    let store = ValkeyStore::options().prefix("wellspring-example:").connect(&url).await?;
    // Stands in for `OnnxEmbedder::bundled()?`, see the example `rag`.
    let cache = Cache::builder(FakeEmbedder::new(64), store).build().await?;
    // A cache without its server makes every answer again. Here that would only be confusing.
    cache.ready().await?;
    match env::args().nth(1) {
        Some(number) => ask(&cache, &number).await?,
        None => direct(&cache).await?,
    }
    cache.close().await?;
    Ok(())
}

/// What one of the processes does.
async fn ask(cache: &Cache, number: &str) -> Result<(), BoxError> {
    let served = cache
        .get_or_fill(QUESTION, async |_| {
            // Stands in for retrieval and an LLM.
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok((format!("At nine, says process {number}."), [Dependency::document("hours.md")]))
        })
        .await?;
    let origin = if served.is_hit() { "found" } else { "made" };
    println!("process {number} {origin} this answer: {}", served.answer.text);
    Ok(())
}

/// Starts the processes, reports a change and starts them again.
async fn direct(cache: &Cache) -> Result<(), BoxError> {
    cache.invalidate_document("hours.md").await?;
    for _ in 0..2 {
        let started: Vec<Child> = (1..=PROCESSES).map(start).collect::<Result<_, _>>()?;
        for mut process in started {
            process.wait()?;
        }
        let done = cache.invalidate_document("hours.md").await?;
        println!("hours.md changed, answers that are gone: {}", done.dropped());
    }
    Ok(())
}

fn start(number: usize) -> Result<Child, BoxError> {
    Ok(Command::new(env::current_exe()?).arg(number.to_string()).spawn()?)
}
