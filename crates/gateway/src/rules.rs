//! Rules that map paths of files to ids of documents: the first rule that matches decides.

use globset::{GlobBuilder, GlobMatcher};
use regex::{Captures, Regex};
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::composed;

/// The most rules in one list, and the longest pattern in bytes.
const LIMITS: (usize, usize) = (1_000, 4_096);
/// What a template may name besides what its pattern captures.
const VARIABLES: [&str; 7] = ["path", "name", "stem", "ext", "dir", "bucket", "repository"];

/// Which paths a rule applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A glob on the whole path: `*` stays within a folder, `**` does not.
    Glob(String),
    /// A regular expression that matches somewhere in the path, unless it is anchored by `^` and `$`.
    Regex(String),
}

/// How a rule maps a path. Templates may hold `${path}`, `${name}`, `${stem}`, `${ext}` and `${dir}`;
/// `${bucket}` and `${repository}` where the source has them; and for a regular expression, `${1}` and the
/// names of its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which paths the rule applies to.
    pub pattern: Pattern,
    /// The template of the document's id; without it, matching paths are not documents.
    pub document: Option<String>,
    /// The template of a collection that changes with the document.
    pub collection: Option<String>,
}

/// Rules that were checked. Without any rules, each path is the id of its document.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Compiled>);

#[derive(Debug, Clone)]
struct Compiled {
    matcher: Matcher,
    document: Option<Template>,
    collection: Option<Template>,
}

#[derive(Debug, Clone)]
enum Matcher {
    Glob(GlobMatcher),
    Regex(Regex),
}

/// What a path stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The document's id.
    pub document: String,
    /// The collection that changes with it.
    pub collection: Option<String>,
}

impl Rules {
    /// Checks `rules`.
    ///
    /// # Errors
    ///
    /// `Config` if a pattern is not valid, if a template names something that does not exist, or if there are
    /// more than 1,000 rules.
    pub fn new(rules: &[Rule]) -> Result<Self> {
        if rules.len() > LIMITS.0 {
            return Err(wrong(format!("there are {} rules, the limit is {}", rules.len(), LIMITS.0)));
        }
        rules.iter().map(Compiled::new).collect::<Result<_>>().map(Self)
    }

    /// What `path` stands for; none if no rule matches, or if the matching rule names no document.
    /// `variables` are what the source knows besides the path.
    pub fn map(&self, path: &str, variables: &[(&str, &str)]) -> Option<Mapped> {
        // In one normal form, however the system that has the file spells it.
        let path = &*composed(path);
        if self.0.is_empty() {
            return Some(Mapped { document: path.to_owned(), collection: None });
        }
        let rule = self.0.iter().find(|rule| rule.matches(path))?;
        let captures = match &rule.matcher {
            Matcher::Glob(_) => None,
            Matcher::Regex(regex) => regex.captures(path),
        };
        let value = |name: &str| value(path, variables, captures.as_ref(), name);
        let document = rule.document.as_ref()?.fill(value);
        Some(Mapped { document, collection: rule.collection.as_ref().map(|template| template.fill(value)) })
    }
}

impl Compiled {
    fn new(rule: &Rule) -> Result<Self> {
        let (Pattern::Glob(text) | Pattern::Regex(text)) = &rule.pattern;
        if text.is_empty() || text.len() > LIMITS.1 {
            return Err(wrong(format!("a pattern has {} bytes, expected 1 to {}", text.len(), LIMITS.1)));
        }
        let invalid = |why: String| wrong(format!("the pattern {text:?} is not valid: {why}"));
        let matcher = match &rule.pattern {
            Pattern::Glob(glob) => {
                let glob = GlobBuilder::new(&composed(glob)).literal_separator(true).build();
                Matcher::Glob(glob.map_err(|error| invalid(error.kind().to_string()))?.compile_matcher())
            }
            Pattern::Regex(regex) => {
                Matcher::Regex(Regex::new(&composed(regex)).map_err(|error| invalid(error.to_string()))?)
            }
        };
        let groups: Vec<String> = match &matcher {
            Matcher::Glob(_) => Vec::new(),
            Matcher::Regex(regex) => (0..regex.captures_len())
                .map(|n| n.to_string())
                .chain(regex.capture_names().flatten().map(str::to_owned))
                .collect(),
        };
        let template =
            |text: &Option<String>| text.as_deref().map(|text| Template::new(text, &groups)).transpose();
        Ok(Self { matcher, document: template(&rule.document)?, collection: template(&rule.collection)? })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Glob(glob) => glob.is_match(path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A text with names in it.
#[derive(Debug, Clone)]
struct Template {
    /// Each text is followed by the value of its name.
    parts: Vec<(String, String)>,
    end: String,
}

impl Template {
    fn new(text: &str, groups: &[String]) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err(wrong(format!("the template {text:?} has a ${{ that is not closed")));
            };
            if !VARIABLES.contains(&name) && !groups.iter().any(|group| group == name) {
                let mut known = VARIABLES.join(", ");
                if !groups.is_empty() {
                    known = format!("{known}, {}", groups.join(", "));
                }
                return Err(wrong(format!("the template {text:?} names {name:?}, known are {known}")));
            }
            parts.push((before.to_owned(), name.to_owned()));
            rest = after;
        }
        Ok(Self { parts, end: rest.to_owned() })
    }

    fn fill<'a>(&self, value: impl Fn(&str) -> &'a str) -> String {
        let mut filled = String::new();
        for (text, name) in &self.parts {
            filled.push_str(text);
            filled.push_str(value(name));
        }
        filled + &self.end
    }
}

/// The value of a variable; empty if there is none here.
fn value<'a>(
    path: &'a str,
    variables: &[(&str, &'a str)],
    captures: Option<&Captures<'a>>,
    name: &str,
) -> &'a str {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    // A name such as `.env` has no extension.
    let (stem, ext) = match file.rsplit_once('.') {
        Some((stem, ext)) if !stem.is_empty() => (stem, ext),
        _ => (file, ""),
    };
    let group = |captures: &Captures<'a>| match name.parse() {
        Ok(number) => captures.get(number),
        Err(_) => captures.name(name),
    };
    if let Some(group) = captures.and_then(group) {
        return group.as_str();
    }
    match name {
        "path" => path,
        "name" => file,
        "stem" => stem,
        "ext" => ext,
        "dir" => dir,
        _ => variables.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value),
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: Pattern, document: Option<&str>, collection: Option<&str>) -> Rule {
        Rule { pattern, document: document.map(str::to_owned), collection: collection.map(str::to_owned) }
    }

    fn glob(text: &str) -> Pattern {
        Pattern::Glob(text.to_owned())
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = Rules::new(&[
            rule(glob("docs/drafts/**"), None, None),
            rule(glob("docs/**/*.md"), Some("doc:${stem}"), Some("${dir}")),
            rule(Pattern::Regex(r"^wiki/(?<page>\w+)\.(\w+)$".into()), Some("${bucket}/${page}.${2}"), None),
            rule(glob("*.txt"), Some("${path}|${name}|${ext}"), None),
        ])
        .unwrap();
        let map =
            |path| rules.map(path, &[("bucket", "b")]).map(|mapped| (mapped.document, mapped.collection));
        assert_eq!(map("docs/a/guide.md"), Some(("doc:guide".into(), Some("docs/a".into()))));
        assert_eq!(map("docs/guide.md"), Some(("doc:guide".into(), Some("docs".into()))));
        assert_eq!(map("docs/drafts/guide.md"), None);
        assert_eq!(map("wiki/Home.md"), Some(("b/Home.md".into(), None)));
        assert_eq!(map("a.txt"), Some(("a.txt|a.txt|txt".into(), None)));
        assert_eq!(map("deep/a.txt"), None);
        let identity = Rules::default().map("any/where", &[]).unwrap();
        assert_eq!(identity.document, "any/where");
    }

    #[test]
    fn wrong_rules_say_what_is_wrong() {
        for (bad, part) in [
            (rule(glob("a[b"), None, None), "not valid"),
            (rule(Pattern::Regex("(".into()), None, None), "not valid"),
            (rule(glob(""), None, None), "0 bytes"),
            (rule(glob("*"), Some("${file}"), None), "names \"file\", known are path"),
            (rule(glob("*"), Some("${1}"), None), "names \"1\""),
            (rule(glob("*"), None, Some("${path")), "not closed"),
        ] {
            let error = Rules::new(std::slice::from_ref(&bad)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
