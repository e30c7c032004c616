//! Who may share answers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Corpus, MAX_JSON_DEPTH, MAX_PARAMETER_BYTES, Namespace, ScopeId, TenantId, check_name, composed,
    first_half, hash, is_deeper_than,
};
use crate::error::{Error, Result};
use crate::match_policy::MatchPolicy;

/// The canonical JSON of no parameters, as most scopes have none.
const NO_PARAMETERS: &[u8] = b"{}";

/// Who may share answers within a corpus: the tenant, the namespace, and every parameter that changes the
/// answer (model, system prompt, temperature, retriever, tools).
///
/// Scopes with the same content are the same scope, whatever order it was given in. A search never crosses a
/// scope. Parameters are hashed as canonical JSON (RFC 8785) and never stored. Names and texts are compared in
/// Unicode NFC.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    tenant: Option<String>,
    namespace: Option<Namespace>,
    private: bool,
    parameters: BTreeMap<String, Value>,
    match_policy: Option<MatchPolicy>,
}

impl Scope {
    /// A scope that everyone shares, with no parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the scope to one tenant, user or access group.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(in_nfc(tenant.into()));
        self
    }

    /// Limits the scope to one principal, even if many share this scope: what is stored there belongs to no
    /// one else.
    #[must_use]
    pub fn own(mut self, principal: &str) -> Self {
        let shared = self.tenant.as_deref();
        let parts =
            [&[u8::from(shared.is_some())], shared.unwrap_or_default().as_bytes(), principal.as_bytes()];
        self.tenant = Some(format!("own:{}", hex::encode(hash("wellspring.own.1", &parts))));
        self
    }

    /// Places answers under a namespace. Each answer filled in this scope depends on the namespace and
    /// on every prefix of it.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Marks answers as personal. Without a tenant, such a scope stores nothing: no one else may be given the
    /// answer, and nothing says whose it is.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Adds a parameter that changes the answer; if a name is given twice, the last value counts.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let mut value = value.into();
        compose(&mut value);
        self.parameters.insert(in_nfc(name.into()), value);
        self
    }

    /// Sets the minimum similarity at which the answer to another question may be served in this scope, in
    /// place of the cache's. It is not part of the scope's identity.
    #[must_use]
    pub fn similarity_threshold(mut self, threshold: f32) -> Self {
        self.match_policy = Some(MatchPolicy::SimilarityThreshold(threshold));
        self
    }

    /// Sets the greatest accepted share of wrong answers among hits on other wordings in this scope, greater
    /// than 0 and less than 1, in place of that of the corpus and the cache. It is not part of the scope's
    /// identity.
    #[must_use]
    pub fn max_false_hit_rate(mut self, rate: f64) -> Self {
        self.match_policy = Some(MatchPolicy::MaxFalseHitRate(rate));
        self
    }

    pub(crate) fn match_policy(&self) -> Option<MatchPolicy> {
        self.match_policy
    }

    /// The tenant that its answers belong to; none if they are for everyone.
    pub fn tenant_id(&self) -> Option<TenantId> {
        self.tenant.as_deref().map(TenantId::of)
    }

    /// The namespace, if there is one.
    pub fn as_namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Whether the scope is private but names no tenant.
    pub fn lacks_tenant(&self) -> bool {
        self.private && self.tenant.is_none()
    }

    /// The scope's identity for vectors of the model with the given `model_fingerprint`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the tenant is not a valid name, or the parameters are larger than
    /// [`MAX_PARAMETER_BYTES`] or nested deeper than [`MAX_JSON_DEPTH`].
    pub fn id(&self, corpus: &Corpus, model_fingerprint: &str) -> Result<ScopeId> {
        if let Some(tenant) = &self.tenant {
            check_name("tenant", tenant)?;
        }
        if self.parameters.values().any(|value| is_deeper_than(value, MAX_JSON_DEPTH)) {
            return Err(Error::invalid(format!(
                "scope parameters are nested deeper than {MAX_JSON_DEPTH} levels"
            )));
        }
        let parameters = self.canonical()?;
        if parameters.len() > MAX_PARAMETER_BYTES {
            return Err(Error::invalid(format!("scope parameters exceed {MAX_PARAMETER_BYTES} bytes")));
        }
        let mut large = String::new();
        for value in self.parameters.values() {
            collect_large_numbers(value, &mut large);
        }
        let tenant = self.tenant.as_deref();
        let namespace = self.namespace.as_ref().map(Namespace::as_str);
        let digest = hash(
            "wellspring.scope.1",
            &[
                corpus.as_str().as_bytes(),
                model_fingerprint.as_bytes(),
                // An absent name differs from an empty one.
                &[u8::from(tenant.is_some()), u8::from(namespace.is_some()), u8::from(self.private)],
                tenant.unwrap_or_default().as_bytes(),
                namespace.unwrap_or_default().as_bytes(),
                &parameters,
                large.as_bytes(),
            ],
        );
        Ok(ScopeId(first_half(&digest)))
    }

    /// The parameters as canonical JSON.
    fn canonical(&self) -> Result<Cow<'static, [u8]>> {
        if self.parameters.is_empty() {
            return Ok(Cow::Borrowed(NO_PARAMETERS));
        }
        // A name or a hash, as the gateway sets, is on the way of every lookup.
        let canonical = match plain(&self.parameters) {
            Some(plain) => plain,
            None => serde_json_canonicalizer::to_vec(&self.parameters)
                .map_err(|e| Error::invalid("scope parameters have no canonical JSON").with_source(e))?,
        };
        Ok(Cow::Owned(canonical))
    }
}

fn in_nfc(name: String) -> String {
    match composed(&name) {
        Cow::Borrowed(_) => name,
        Cow::Owned(composed) => composed,
    }
}

/// Composes the texts in `value`, and the names in it unless two would become one. What is nested too deeply
/// is refused later and stays as it is, because the stack might not suffice for it.
fn compose(value: &mut Value) {
    fn within(value: &mut Value, depth: usize) {
        match value {
            Value::String(text) => *text = in_nfc(std::mem::take(text)),
            Value::Array(items) if depth > 0 => items.iter_mut().for_each(|item| within(item, depth - 1)),
            Value::Object(fields) if depth > 0 => {
                let is_composed = fields.keys().all(|name| matches!(composed(name), Cow::Borrowed(_)));
                let distinct = || fields.keys().map(|name| composed(name)).collect::<BTreeSet<_>>().len();
                if !is_composed && distinct() == fields.len() {
                    let named = std::mem::take(fields).into_iter();
                    *fields = named.map(|(name, value)| (in_nfc(name), value)).collect();
                }
                fields.values_mut().for_each(|value| within(value, depth - 1));
            }
            _ => {}
        }
    }
    within(value, MAX_JSON_DEPTH);
}

/// `{"name":"value",…}`, if none of these texts needs escaping or sorts otherwise in UTF-16.
fn plain(parameters: &BTreeMap<String, Value>) -> Option<Vec<u8>> {
    let is_plain =
        |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
    let mut json = vec![b'{'];
    for (name, value) in parameters {
        let value = value.as_str().filter(|value| is_plain(name) && is_plain(value))?;
        for part in [if json.len() > 1 { ",\"" } else { "\"" }, name, "\":\"", value, "\""] {
            json.extend_from_slice(part.as_bytes());
        }
    }
    json.push(b'}');
    Some(json)
}

/// Writes out the numbers that a double might not hold exactly, in the order of the fields' names. Canonical
/// JSON rounds them, and two different large seeds would become one. The depth of `value` was already
/// checked.
fn collect_large_numbers(value: &Value, found: &mut String) {
    const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.as_f64().is_none_or(|number| number.abs() >= FIRST_INEXACT) => {
            found.push_str(&number.to_string());
            found.push(',');
        }
        Value::Array(items) => items.iter().for_each(|item| collect_large_numbers(item, found)),
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|&(name, _)| name);
            for (_, value) in fields {
                collect_large_numbers(value, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_parameters_are_written_as_canonical_json_is() {
        let texts = ["", "b", "a b", "Z", "~", "a\"", "\\", "é", "\u{1f600}", "\u{7f}", "\n", "a\u{fffd}"];
        let mut written = 0;
        for (name, other) in texts.iter().flat_map(|name| texts.map(|other| (*name, other))) {
            let parameters =
                BTreeMap::from([(name.to_owned(), other.into()), (other.to_owned(), name.into())]);
            let canonical = serde_json_canonicalizer::to_vec(&parameters).unwrap();
            if let Some(plain) = plain(&parameters) {
                assert_eq!(String::from_utf8(plain), String::from_utf8(canonical));
                written += 1;
            }
        }
        assert_eq!(written, 5 * 5);
        assert_eq!(plain(&BTreeMap::from([("seed".to_owned(), 7.into())])), None);
    }

    #[test]
    fn names_and_texts_are_compared_as_they_are_composed() {
        let id = |tenant: &str, name: &str, value: Value| {
            let scope = Scope::new().tenant(tenant).parameter(name, value);
            (scope.tenant_id(), scope.id(&Corpus::default(), "m").unwrap())
        };
        let (nfc, nfd) = ("caf\u{e9}", "cafe\u{301}");
        let nested = |name: &str| serde_json::json!({ "a": [{ name: name }] });
        assert_eq!(id(nfc, nfc, nested(nfc)), id(nfd, nfd, nested(nfd)));
        assert_ne!(id(nfc, nfc, nested(nfc)), id(nfc, nfc, nested("cafe")));
        assert_eq!(TenantId::of(nfc), TenantId::of(nfd));
        // Of two names that would become one, none is lost.
        let twice = |first: i32| id("t", "p", serde_json::json!({ nfc: first, nfd: 2 }));
        assert_ne!(twice(1), twice(3));
    }
}
