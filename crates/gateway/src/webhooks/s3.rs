//! Notifications of S3, `MinIO` and others:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{File, Reported, malformed};
use crate::error::Problem;

#[derive(Debug, Deserialize)]
struct Notification {
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    #[serde(rename = "Event")]
    event: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event_name: String,
    s3: S3,
}

#[derive(Debug, Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    key: String,
}

pub(super) fn read(body: &[u8]) -> Result<Reported, Problem> {
    let notification: Notification = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let Some(records) = notification.records else {
        return match notification.event.as_deref() {
            Some("s3:TestEvent") => Ok(Reported::Nothing("it is S3's test event for the address")),
            _ => Err(Problem::invalid("the body has no Records")),
        };
    };
    // Reads, and lifecycle events that leave the content as it is, change nothing.
    let changes = |name: &str| {
        let name = name.trim_start_matches("s3:");
        ["ObjectCreated:", "ObjectRemoved:", "ObjectRestore:Completed", "LifecycleExpiration:"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let files = records.into_iter().filter(|record| changes(&record.event_name)).map(|record| {
        // The key is form-encoded.
        let key = record.s3.object.key.replace('+', " ");
        let path = percent_decode_str(&key).decode_utf8();
        let path = path.map_err(|_| Problem::invalid("the key of an object is not UTF-8"))?.into_owned();
        Ok(File { path, variables: vec![("bucket", record.s3.bucket.name)] })
    });
    files.collect::<Result<Vec<_>, _>>().map(Reported::Files)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_decoded_and_reads_are_no_changes() {
        let record = |event: &str, key: &str| {
            json!({ "eventVersion": "2.1", "eventName": event,
                "s3": { "bucket": { "name": "docs" }, "object": { "key": key, "eTag": "1" } } })
        };
        let body = json!({ "EventName": "s3:ObjectCreated:Put", "Key": "docs/x", "Records": [
            record("ObjectCreated:Put", "a+b/caf%C3%A9%2B.md"),
            record("s3:ObjectRemoved:Delete", "gone.md"),
            record("s3:ObjectAccessed:Get", "read.md"),
        ] });
        let Reported::Files(files) = read(body.to_string().as_bytes()).unwrap() else { panic!("no files") };
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a b/café+.md", "gone.md"]);
        assert_eq!(files[0].variables, [("bucket", "docs".to_owned())]);
        assert!(matches!(read(br#"{"Event":"s3:TestEvent"}"#), Ok(Reported::Nothing(_))));
        assert!(read(b"{}").is_err());
    }
}
