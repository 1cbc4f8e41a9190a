//! The XML of the engine's answers, read without regard to namespaces, which engines write as they like.

use roxmltree::{Document, Node};

/// The longest answer in XML that is read: a page of a thousand uploads with long keys.
pub(super) const MAX_XML: usize = 4 << 20;

/// What an engine says in an `Error`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) region: Option<String>,
}

/// One page of parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PartsPage {
    /// Sorted as the engine likes.
    pub(super) parts: Vec<ListedPart>,
    pub(super) next: Option<String>,
}

/// One part of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListedPart {
    pub(super) number: u16,
    pub(super) size_bytes: u64,
    pub(super) tag: String,
    pub(super) sha256: Option<String>,
}

/// One page of uploads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UploadsPage {
    /// Key, upload id, when it was begun.
    pub(super) uploads: Vec<(String, String, String)>,
    pub(super) next: Option<(String, String)>,
}

/// Reads an `Error`; `None` for anything else.
pub(super) fn refusal(text: &str) -> Option<Refusal> {
    let document = Document::parse(text.trim_start()).ok()?;
    let mut root = document.root_element();
    // Services other than storage wrap it.
    if root.tag_name().name() == "ErrorResponse" {
        root = child(root, "Error")?;
    }
    (root.tag_name().name() == "Error").then(|| Refusal {
        code: text_of(root, "Code"),
        message: text_of(root, "Message"),
        region: Some(text_of(root, "Region")).filter(|region| !region.is_empty()),
    })
}

/// Reads the text of one element at any depth.
pub(super) fn element(text: &str, name: &str) -> Option<String> {
    let document = Document::parse(text.trim_start()).ok()?;
    let found = document.descendants().find(|node| node.tag_name().name() == name)?;
    Some(found.text().unwrap_or_default().trim().to_owned())
}

/// Reads a `ListPartsResult`.
pub(super) fn parts(text: &str) -> Option<PartsPage> {
    let document = Document::parse(text.trim_start()).ok()?;
    let root = document.root_element();
    if root.tag_name().name() != "ListPartsResult" {
        return None;
    }
    let part = |node: Node<'_, '_>| {
        Some(ListedPart {
            number: text_of(node, "PartNumber").parse().ok()?,
            size_bytes: text_of(node, "Size").parse().ok()?,
            tag: text_of(node, "ETag"),
            sha256: Some(text_of(node, "ChecksumSHA256")).filter(|sum| !sum.is_empty()),
        })
    };
    let parts: Option<Vec<_>> = children(root, "Part").map(part).collect();
    let next = is_truncated(root).then(|| text_of(root, "NextPartNumberMarker"));
    Some(PartsPage { parts: parts?, next: next.filter(|next| !next.is_empty() && next != "0") })
}

/// Reads a `ListMultipartUploadsResult`.
pub(super) fn uploads(text: &str) -> Option<UploadsPage> {
    let document = Document::parse(text.trim_start()).ok()?;
    let root = document.root_element();
    if root.tag_name().name() != "ListMultipartUploadsResult" {
        return None;
    }
    let upload = |node| (text_of(node, "Key"), text_of(node, "UploadId"), text_of(node, "Initiated"));
    let uploads = children(root, "Upload").map(upload).collect();
    let next = (text_of(root, "NextKeyMarker"), text_of(root, "NextUploadIdMarker"));
    Some(UploadsPage { uploads, next: (is_truncated(root) && !next.0.is_empty()).then_some(next) })
}

/// Writes the parts that an upload consists of: number, tag, checksum in base64.
pub(super) fn complete<'a>(parts: impl Iterator<Item = (u16, &'a str, Option<&'a str>)>) -> String {
    let mut xml = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (number, tag, sha256) in parts {
        xml.push_str("<Part>");
        if let Some(sha256) = sha256 {
            write(&mut xml, "ChecksumSHA256", sha256);
        }
        if !tag.is_empty() {
            write(&mut xml, "ETag", tag);
        }
        write(&mut xml, "PartNumber", &number.to_string());
        xml.push_str("</Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml
}

fn write(xml: &mut String, name: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    xml.push_str(&format!("<{name}>{text}</{name}>"));
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Option<Node<'a, 'i>> {
    children(node, name).next()
}

fn text_of(node: Node<'_, '_>, name: &'static str) -> String {
    child(node, name).and_then(|child| child.text()).unwrap_or_default().trim().to_owned()
}

fn is_truncated(node: Node<'_, '_>) -> bool {
    text_of(node, "IsTruncated") == "true"
}

#[cfg(test)]
mod tests {
    use super::{ListedPart, PartsPage, complete, element, parts, refusal, uploads};

    #[test]
    fn refusals_are_read_from_any_engine() {
        let amazon = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code>\
            <Message>wrong</Message><Region>eu-west-1</Region></Error>";
        let read = refusal(amazon).unwrap();
        assert_eq!(
            (read.code.as_str(), read.region.as_deref()),
            ("AuthorizationHeaderMalformed", Some("eu-west-1"))
        );
        let sts = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Code>ExpiredTokenException\
            </Code><Message>m</Message></Error></ErrorResponse>";
        assert_eq!(refusal(sts).unwrap().code, "ExpiredTokenException");
        for none in ["", "<html></html>", "<Error>", "no xml", "<CompleteMultipartUploadResult/>"] {
            assert_eq!(refusal(none), None, "{none}");
        }
    }

    #[test]
    fn an_answer_may_begin_with_the_spaces_that_kept_its_connection_alive() {
        let late = "\n   \n<Error><Code>InternalError</Code></Error>";
        assert_eq!(refusal(late).unwrap().code, "InternalError");
    }

    #[test]
    fn pages_are_read_with_and_without_a_namespace() {
        for namespace in ["", " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""] {
            let text = format!(
                "<ListPartsResult{namespace}><IsTruncated>true</IsTruncated><NextPartNumberMarker>2\
                </NextPartNumberMarker><Part><PartNumber>2</PartNumber><Size>5</Size><ETag>\"a\"</ETag>\
                <ChecksumSHA256>s=</ChecksumSHA256></Part>\
                </ListPartsResult>"
            );
            let page = parts(&text).unwrap();
            let listed =
                ListedPart { number: 2, size_bytes: 5, tag: "\"a\"".into(), sha256: Some("s=".into()) };
            assert_eq!(page, PartsPage { parts: vec![listed], next: Some("2".into()) });
            let text = format!(
                "<ListMultipartUploadsResult{namespace}><IsTruncated>false</IsTruncated><Upload><Key>k</Key>\
                <UploadId>u</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>\
                </ListMultipartUploadsResult>"
            );
            let page = uploads(&text).unwrap();
            assert_eq!(page.uploads, [("k".into(), "u".into(), "2026-01-01T00:00:00.000Z".into())]);
            assert_eq!(page.next, None);
        }
        assert_eq!(parts("<ListPartsResult><Part><Size>x</Size></Part></ListPartsResult>"), None);
        let begun = "<InitiateMultipartUploadResult xmlns=\"x\"><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(element(begun, "UploadId").as_deref(), Some("u&1"));
    }

    #[test]
    fn the_list_of_parts_is_escaped() {
        let xml = complete([(1, "a<&>", Some("s==")), (2, "", None)].into_iter());
        assert!(
            xml.contains(
                "<Part><ChecksumSHA256>s==</ChecksumSHA256><ETag>a&lt;&amp;&gt;</ETag><PartNumber>1<"
            ),
            "{xml}"
        );
        assert!(xml.ends_with("<Part><PartNumber>2</PartNumber></Part></CompleteMultipartUpload>"), "{xml}");
    }

    #[test]
    fn entities_do_not_expand() {
        let bomb =
            "<!DOCTYPE a [<!ENTITY x \"xxxxxxxx\"><!ENTITY y \"&x;&x;&x;\">]><Error><Code>&y;</Code></Error>";
        assert_eq!(refusal(bomb), None);
    }
}
