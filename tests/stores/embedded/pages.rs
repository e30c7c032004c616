//! Pages at random in a file that is otherwise whole.

use tokio::runtime::Builder;
use wellspring::store::{Limits, Store};
use wellspring::{EmbeddedStore, Entry};

use crate::support::embedder::embed;
use crate::support::fuzz::Target;
use crate::support::{Bench, Kind, about, fill_all};

const PAGE: usize = 4_096;

/// An input is the number of a page and what stands there.
#[test]
fn whatever_a_page_holds_the_store_is_read_or_refused() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::new(Kind::Embedded);
    let whole = runtime.block_on(async {
        let store = bench.embedded(Limits::default());
        let entries: Vec<Entry> = (0..6)
            .map(|n| Entry { embedding: Some(embed("q")), ..about(&format!("question {n}"), "d") })
            .collect();
        fill_all(&store, &entries).await;
        store.close().await.unwrap();
        drop(store);
        std::fs::read(bench.path()).unwrap()
    });
    // The file is a part of every input.
    let mut target = Target::new("store").room(16 * whole.len() as u64, 16);
    for (number, page) in
        (0_u16..).zip(whole.chunks(PAGE)).filter(|(_, page)| page.iter().any(|byte| *byte != 0))
    {
        target = target.input([&number.to_le_bytes(), page].concat());
    }
    target.run(|input| {
        let Some((number, page)) = input.split_first_chunk() else { return false };
        let mut file = whole.clone();
        let start = usize::from(u16::from_le_bytes(*number)) * PAGE % file.len();
        let len = page.len().min(file.len() - start);
        file[start..start + len].copy_from_slice(&page[..len]);
        // A new file: some file systems write a file at once that is cut and filled again.
        drop(std::fs::remove_file(bench.path()));
        std::fs::write(bench.path(), file).unwrap();
        let Ok(store) = EmbeddedStore::options().cache_bytes(1 << 20).open(bench.path()) else {
            return false;
        };
        runtime.block_on(async {
            let is_read = store.scan(None, 100).await.is_ok();
            // A damaged page may be noticed only now.
            drop(store.close().await);
            is_read
        })
    });
}
