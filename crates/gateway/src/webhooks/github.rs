//! GitHub's event `push`: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>.

use axum::http::HeaderMap;
use serde::Deserialize;

use super::{File, Reported, malformed};
use crate::error::Problem;

/// GitHub lists at most this many commits.
const MOST_COMMITS: usize = 2_048;

#[derive(Debug, Deserialize)]
struct Push {
    r#ref: String,
    repository: Repository,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    commits: Vec<Commit>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Commit {
    added: Vec<String>,
    modified: Vec<String>,
    removed: Vec<String>,
}

pub(super) fn read(headers: &HeaderMap, body: &[u8], branch: Option<&str>) -> Result<Reported, Problem> {
    if headers.get("x-github-event").is_none_or(|event| event != "push") {
        return Ok(Reported::Nothing("only the event push reports files"));
    }
    let push: Push = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let Some(pushed) = push.r#ref.strip_prefix("refs/heads/") else {
        return Ok(Reported::Nothing("a tag was pushed, no branch"));
    };
    if branch.is_some_and(|branch| branch != pushed) {
        return Ok(Reported::Nothing("another branch was pushed"));
    }
    // Commits that a forced push removed are not listed, nor are the first contents of a branch.
    if push.forced || push.created || push.deleted || push.commits.len() >= MOST_COMMITS {
        return Ok(Reported::Everything);
    }
    let paths = push
        .commits
        .into_iter()
        .flat_map(|commit| [commit.added, commit.modified, commit.removed].into_iter().flatten());
    let repository = &push.repository.full_name;
    Ok(Reported::Files(
        paths.map(|path| File { path, variables: vec![("repository", repository.clone())] }).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn push(change: impl FnOnce(&mut Value)) -> Reported {
        let mut body = json!({
            "ref": "refs/heads/main", "before": "a", "after": "b", "repository": { "full_name": "o/r" },
            "created": false, "deleted": false, "forced": false,
            "commits": [
                { "id": "1", "added": ["a.md"], "modified": ["b.md"], "removed": [] },
                { "id": "2", "added": [], "modified": [], "removed": ["c.md"] },
            ],
        });
        change(&mut body);
        let mut headers = HeaderMap::new();
        headers.insert("x-github-event", "push".parse().unwrap());
        read(&headers, body.to_string().as_bytes(), Some("main")).unwrap()
    }

    #[test]
    fn a_push_reports_of_every_file_of_its_commits() {
        let Reported::Files(files) = push(|_| {}) else { panic!("no files") };
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a.md", "b.md", "c.md"]);
        assert_eq!(files[0].variables, [("repository", "o/r".to_owned())]);
    }

    #[test]
    fn what_is_not_listed_is_everything_and_what_is_elsewhere_is_nothing() {
        for field in ["forced", "created", "deleted"] {
            assert_eq!(push(|body| body[field] = true.into()), Reported::Everything, "{field}");
        }
        assert_eq!(push(|body| body["commits"] = vec![json!({}); MOST_COMMITS].into()), Reported::Everything);
        assert!(matches!(push(|body| body["ref"] = "refs/heads/other".into()), Reported::Nothing(_)));
        assert!(matches!(push(|body| body["ref"] = "refs/tags/main".into()), Reported::Nothing(_)));
        assert!(matches!(read(&HeaderMap::new(), b"", None), Ok(Reported::Nothing(_))));
    }
}
