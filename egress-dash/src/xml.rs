//! XML as manifests need it: elements in order, attributes escaped.

use std::fmt::{self, Display, Write};

/// A document while it is written.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    open: Vec<&'static str>,
    /// The start tag of the innermost element has no end yet.
    in_tag: bool,
}

impl Document {
    /// An empty document with its declaration (XML 1.0, section 2.8).
    pub(crate) fn new() -> Self {
        Self {
            text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
            open: Vec::new(),
            in_tag: false,
        }
    }

    /// An element with what `inside` gives it: attributes first.
    pub(crate) fn element(&mut self, name: &'static str, inside: impl FnOnce(&mut Self)) {
        self.end_tag();
        for _ in 0..self.open.len() {
            self.text.push(' ');
        }
        self.text.push('<');
        self.text.push_str(name);
        self.open.push(name);
        self.in_tag = true;
        inside(self);
        self.open.pop();
        if self.in_tag {
            self.text.push_str("/>\n");
            self.in_tag = false;
            return;
        }
        for _ in 0..self.open.len() {
            self.text.push(' ');
        }
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push_str(">\n");
    }

    /// An element of nothing but text.
    pub(crate) fn text_element(&mut self, name: &str, text: &str) {
        self.end_tag();
        for _ in 0..self.open.len() {
            self.text.push(' ');
        }
        // Writing to memory does not fail.
        let _ = write!(self.text, "<{name}>");
        let _ = Escaped(&mut self.text).write_str(text);
        let _ = writeln!(self.text, "</{name}>");
    }

    /// An attribute of the element that has just begun.
    pub(crate) fn attribute(&mut self, name: &str, value: impl Display) {
        debug_assert!(self.in_tag, "{name} comes after the element's content");
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push_str("=\"");
        // Writing to memory does not fail.
        let _ = write!(Escaped(&mut self.text), "{value}");
        self.text.push('"');
    }

    /// The text. All elements have ended.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn end_tag(&mut self) {
        if self.in_tag {
            self.text.push_str(">\n");
            self.in_tag = false;
        }
    }
}

/// Writes with everything escaped that an attribute or a text may not hold as it is. What
/// XML cannot hold at all (section 2.2) becomes U+FFFD.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\t' | '\n' | '\r' => write!(self.0, "&#{};", u32::from(letter))?,
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
                _ => self.0.push(letter),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped() {
        let mut document = Document::new();
        document.element("A", |a| {
            a.attribute("b", "<&>\"'\n\u{1}ü");
            a.element("C", |_| {});
            a.element("D", |d| d.element("E", |e| e.attribute("n", 1)));
            a.text_element("F", "a < b");
        });
        assert_eq!(
            document.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <A b=\"&lt;&amp;&gt;&quot;'&#10;\u{fffd}ü\">\n <C/>\n <D>\n  <E n=\"1\"/>\n </D>\n <F>a &lt; b</F>\n</A>\n"
        );
    }
}
