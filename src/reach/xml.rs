//! As much of XML as descriptions and SOAP answers of home routers need: the text
//! of elements by their names, prefixes aside. No tree, no entities beyond the five
//! of the standard, nothing that could grow.

/// The text between the first `<name …>` and its `</name>`; prefixes do not count.
/// What the element contains comes as it stands.
#[must_use]
pub fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    split(text, name).map(|(inner, _)| inner)
}

/// As [`element`], with what follows its end.
#[must_use]
pub fn split<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let mut rest = text;
    loop {
        let (_, tag) = rest.split_once('<')?;
        let (head, after) = tag.split_once('>')?;
        rest = after;
        if head.ends_with('/') || !is_named(head, name) {
            continue;
        }
        return close(after, name);
    }
}

/// What comes before `</name>`, and after it.
fn close<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let mut from = 0;
    loop {
        let tail = text.get(from..)?;
        let at = from + tail.find("</")?;
        let head = text.get(at + 2..)?;
        let (head, after) = head.split_once('>')?;
        if is_named(head, name) {
            return Some((text.get(..at)?, after));
        }
        from = at + 2;
    }
}

fn is_named(head: &str, name: &str) -> bool {
    let word = head
        .split(|c: char| c.is_ascii_whitespace() || c == '/')
        .next();
    let word = word.unwrap_or_default();
    word.rsplit(':').next() == Some(name)
}

/// Text as it goes into an element.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_are_found_whatever_their_prefix() {
        let text = "<?xml version=\"1.0\"?><s:a x=\"1\"><!-- no --><b/><u:b >7</u:b></s:a>";
        assert_eq!(element(text, "b"), Some("7"));
        assert_eq!(element(text, "a"), Some("<!-- no --><b/><u:b >7</u:b>"));
        assert_eq!(element(text, "c"), None);
        assert_eq!(element("<b>1", "b"), None, "it does not end");
        assert_eq!(element("<ab>1</ab><b>2</b>", "b"), Some("2"));
        let (inner, rest) = split("<b>1</b><b>2</b>", "b").unwrap();
        assert_eq!((inner, element(rest, "b")), ("1", Some("2")));
    }

    #[test]
    fn a_name_with_signs_does_not_become_an_element() {
        assert_eq!(escape("a<b>&\"c'\n"), "a&lt;b&gt;&amp;&quot;c&apos;");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[<>/a:b é!-]{0,200}") {
            if let Some(inner) = element(&text, "a") {
                prop_assert!(inner.len() < text.len());
            }
        }

        #[test]
        fn what_was_written_is_read(value in "[a-z<&> ]{0,40}") {
            let text = format!("<x><n>{}</n></x>", escape(&value));
            let escaped = escape(&value);
            prop_assert_eq!(element(&text, "n"), Some(escaped.as_str()));
        }
    }
}
