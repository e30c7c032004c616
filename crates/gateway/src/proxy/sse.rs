//! Server-sent events as the APIs write them (WHATWG HTML, 9.2).

use std::fmt::Write as _;

use serde_json::Value;

use super::json;

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Its name; empty if it has none.
    pub(super) name: &'a str,
    /// Its data.
    pub(super) data: String,
}

impl Event<'_> {
    /// Whether its name says that it reports an error, whatever its data is.
    pub(super) fn is_error(&self) -> bool {
        self.name == "error"
    }

    /// The data as JSON; none if it is something else.
    pub(super) fn json(&self) -> Option<Value> {
        json::read(&self.data)
    }
}

/// The events of a whole stream. The last event need not end with an empty line: many servers omit it, and
/// the content of the last event shows whether the stream is complete.
pub(super) fn events(stream: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    let (mut name, mut data) = ("", None::<String>);
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    for line in lines(stream).chain([""]) {
        if line.is_empty() {
            if let Some(data) = data.take() {
                events.push(Event { name, data });
            }
            name = "";
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut data) {
            ("event", _) => name = value,
            ("data", Some(data)) => {
                data.push('\n');
                data.push_str(value);
            }
            ("data", data) => *data = Some(value.to_owned()),
            _ => {}
        }
    }
    events
}

/// Lines may end in any of three ways.
fn lines(stream: &str) -> impl Iterator<Item = &str> {
    stream.split("\r\n").flat_map(|lines| lines.split(['\r', '\n']))
}

/// Writes an event, with a name unless `name` is empty.
pub(super) fn write(stream: &mut String, name: &str, data: &Value) {
    if !name.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(stream, "event: {name}");
    }
    let _ = write!(stream, "data: {}\n\n", json::write(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_standard_says() {
        let stream = ": hello\n\nevent: a\ndata: 1\ndata:2\n\nid: 3\r\ndata: x\r\n\r\ndata: [DONE]";
        let read: Vec<_> = events(stream).into_iter().map(|event| (event.name, event.data)).collect();
        assert_eq!(read, [("a", "1\n2".to_owned()), ("", "x".to_owned()), ("", "[DONE]".to_owned())]);
        // A carriage return alone used to be taken for a part of the line.
        let read: Vec<_> = events("event: a\rdata: 1\r\rdata: 2")
            .into_iter()
            .map(|event| (event.name, event.data))
            .collect();
        assert_eq!(read, [("a", "1".to_owned()), ("", "2".to_owned())]);
    }
}
