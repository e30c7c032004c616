//! The frameworks of `docs/clients.md` against the gateway with the bundled model: the code that the document shows is
//! the code that runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use wellspring::embed::OnnxEmbedder;
use wellspring::store::Limits;
use wellspring::{Cache, MemoryStore};
use wellspring_gateway::{Listeners, Options};

use crate::running::Running;
use crate::support::root;
use crate::upstream::Upstream;

const FOLDER: &str = "crates/gateway/tests/gateway/clients/frameworks";

fn snippets() -> PathBuf {
    root().join(FOLDER).join("snippets")
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
}

async fn gateway() -> Running {
    let embedder = OnnxEmbedder::shared().expect("the bundled model; run `make setup` first");
    let store = Arc::new(MemoryStore::new(Limits::default()));
    let cache = Cache::builder_from(embedder, store).build().await.unwrap();
    let upstream = Upstream::start().await;
    let mut options = Options::default();
    options.openai.url = upstream.url();
    options.anthropic.url = upstream.url();
    Running::serve(upstream, cache, options, Listeners::default())
}

/// Runs `script` by `program`, and checks that it did all of `checks`. Modules for JavaScript are looked for
/// beside the script, so it runs in a copy of its folder.
async fn check(program: PathBuf, script: &str, checks: &[&str]) {
    let modules = root().join(".deps/javascript/node_modules");
    let present = program.exists() || !program.is_absolute();
    assert!(present && modules.exists(), "the frameworks are missing, fetch them with `make clients`");
    let gateway = gateway().await;
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(modules, home.path().join("node_modules")).unwrap();
    std::fs::create_dir(home.path().join("snippets")).unwrap();
    for file in files(&root().join(FOLDER)).chain(files(&snippets())) {
        let place = file.strip_prefix(root().join(FOLDER)).unwrap();
        std::fs::copy(&file, home.path().join(place)).unwrap();
    }
    let mut command = Command::new(program);
    command
        .arg(home.path().join(script))
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("WELLSPRING_URL", gateway.url(""))
        .env("WELLSPRING_ADMIN_URL", format!("http://{}", gateway.admin))
        .env("OPENAI_API_KEY", "openai-key")
        .env("ANTHROPIC_API_KEY", "anthropic-key")
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONWARNINGS", "ignore")
        // Only the gateway is asked.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("HAYSTACK_TELEMETRY_ENABLED", "False")
        .env("OPENAI_AGENTS_DISABLE_TRACING", "1")
        .env("LANGSMITH_TRACING", "false")
        .env("DO_NOT_TRACK", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let done: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    assert_eq!(done, checks, "{said}");
}

fn deps(environment: &str) -> PathBuf {
    root().join(".deps").join(environment).join("bin/python")
}

/// The frameworks for Python, each with its environment and what is tried.
macro_rules! python {
    ($($name:ident in $environment:literal: $($check:literal)*;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let script = concat!("check_", stringify!($name), ".py");
                check(deps($environment), script, &[$($check),*]).await;
            }
        )*
    };
}

python! {
    openai in "python": "responses" "concurrent" "errors" "choices" "embeddings" "parallel_tools" "structured";
    anthropic in "python": "messages" "counting" "prompt_caching" "betas" "concurrent" "tool_loop";
    langchain in "frameworks":
        "chat" "responses" "anthropic" "stream" "asynchronous" "structured" "tools" "embeddings";
    langgraph in "frameworks": "agent" "memory" "stream";
    litellm in "frameworks": "completion" "anthropic" "stream" "responses" "asynchronous" "proxy";
    openai_agents in "frameworks": "agent" "stream" "structured" "memory";
    pydantic_ai in "frameworks": "agent" "responses" "anthropic" "stream" "structured";
    dspy in "frameworks": "chain" "agent" "samples";
    haystack in "frameworks": "pipeline" "responses" "stream" "agent" "embeddings";
    llama_index in "frameworks-openai2": "chat" "responses" "stream" "structured" "agent" "embeddings";
    instructor in "frameworks-openai2": "tools" "reasks" "claude" "stream";
}

#[tokio::test]
async fn javascript() {
    let checks = ["openai", "anthropic", "answer", "stream", "agent", "structured", "embeddings"];
    check("node".into(), "check_javascript.mjs", &checks).await;
}

/// A reader who copies from the document copies tested code.
#[test]
fn the_document_shows_the_snippets() {
    let document = std::fs::read_to_string(root().join("docs/clients.md")).unwrap();
    let mut shown = BTreeMap::new();
    for block in document.split("\n<!-- ").skip(1) {
        let (name, rest) = block.split_once(" -->\n```").unwrap();
        let code = rest.split_once('\n').unwrap().1.split("```").next().unwrap();
        shown.insert(name.to_owned(), code.to_owned());
    }
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let tried: BTreeMap<String, String> =
        files(&snippets()).map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
    assert_eq!(shown, tried);
}
