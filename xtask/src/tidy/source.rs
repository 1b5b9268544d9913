//! One Rust file, taken apart as far as the rules need it: which characters are
//! code, which belong to comments or literals, and where its tests begin.

/// A source file.
pub(crate) struct Source {
    /// Relative to the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The lines with comments blanked out and literals kept.
    literal: Vec<String>,
    /// The lines with comments and the insides of literals blanked out.
    code: Vec<String>,
    /// The number of lines before the test module.
    product: usize,
}

impl Source {
    pub(crate) fn new(path: String, text: String) -> Self {
        let (literal, code) = strip(&text);
        let literal: Vec<String> = literal.lines().map(Into::into).collect();
        let code: Vec<String> = code.lines().map(Into::into).collect();
        let product = if is_test_path(&path) {
            0
        } else {
            product_lines(&code)
        };
        Self {
            path,
            text,
            literal,
            code,
            product,
        }
    }

    pub(crate) fn line_count(&self) -> usize {
        self.code.len()
    }

    /// The crate's folder: the first part of the path.
    pub(crate) fn crate_dir(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Code without comments and literals, tests too, with line numbers from 1.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.iter().map(String::as_str))
    }

    /// As `all`, but without tests.
    pub(crate) fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.all().take(self.product)
    }

    /// As `product`, with the insides of literals.
    pub(crate) fn product_with_literals(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..)
            .zip(self.literal.iter().map(String::as_str))
            .take(self.product)
    }
}

fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs")
        // The bodies of fuzz targets, which are compiled with its tests.
        || path.ends_with("/src/fuzz.rs")
        || path.contains("/src/fuzz/")
        // What only the model checker is given.
        || path.contains("/sync/model")
        || path.contains("/bus/models")
        || path
            .split('/')
            .any(|part| matches!(part, "tests" | "benches"))
}

/// The lines before the first `#[cfg(test)]` module: tests stand last.
fn product_lines(code: &[String]) -> usize {
    let test = |(i, line): &(usize, &String)| {
        let next = code.get(i + 1).map(|it| it.trim()).unwrap_or_default();
        let module = next.starts_with("mod ") || next.contains(") mod ");
        line.trim().starts_with("#[cfg(test)]") && module && next.ends_with('{')
    };
    code.iter()
        .enumerate()
        .find(test)
        .map_or(code.len(), |(i, _)| i)
}

/// The text twice, of the same lines: without comments, and without comments and
/// the insides of literals.
fn strip(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut literal, mut code) = (String::new(), String::new());
    let mut i = 0;
    while i < chars.len() {
        let (end, kind) = token(&at, i);
        for c in chars.get(i..end.min(chars.len())).unwrap_or_default() {
            let blank = if *c == '\n' { '\n' } else { ' ' };
            literal.push(if kind == Token::Comment { blank } else { *c });
            code.push(if kind == Token::Code { *c } else { blank });
        }
        i = end;
    }
    (literal, code)
}

#[derive(Clone, Copy, PartialEq)]
enum Token {
    Code,
    Comment,
    Literal,
}

/// The end and the kind of what begins at `i`.
fn token(at: &impl Fn(usize) -> char, i: usize) -> (usize, Token) {
    let until = |mut i: usize, stop: &dyn Fn(usize) -> bool| {
        while at(i) != '\0' && !stop(i) {
            i += 1;
        }
        i
    };
    match (at(i), at(i + 1)) {
        ('/', '/') => (until(i, &|i| at(i) == '\n'), Token::Comment),
        ('/', '*') => {
            let (mut depth, mut i) = (0_usize, i);
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    ('\0', _) => return (i, Token::Comment),
                    _ => i += 1,
                }
                if depth == 0 {
                    return (i, Token::Comment);
                }
            }
        }
        ('r', '"' | '#') => {
            let quote = until(i + 1, &|i| at(i) != '#');
            if at(quote) != '"' {
                return (i + 1, Token::Code);
            }
            let hashes = quote - i - 1;
            let close = |i: usize| at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#');
            (until(quote + 1, &close) + 1 + hashes, Token::Literal)
        }
        ('"', _) => (quoted(at, i, '"'), Token::Literal),
        // A lifetime is no character: it is not closed after one character.
        ('\'', '\\') => (quoted(at, i, '\''), Token::Literal),
        ('\'', _) if at(i + 2) == '\'' => (i + 3, Token::Literal),
        // A whole word, so that its last letter is not taken for a prefix.
        (c, _) if c.is_alphanumeric() || c == '_' => {
            let end = until(i, &|i| !(at(i).is_alphanumeric() || at(i) == '_'));
            let raw = matches!(at(end), '"' | '#') && at(end - 1) == 'r' && end - i <= 2;
            (if raw { end - 1 } else { end }.max(i + 1), Token::Code)
        }
        _ => (i + 1, Token::Code),
    }
}

/// The end of a literal with escapes that begins at `i`.
fn quoted(at: &impl Fn(usize) -> char, mut i: usize, quote: char) -> usize {
    i += 1;
    while at(i) != '\0' && at(i) != quote {
        i += if at(i) == '\\' { 2 } else { 1 };
    }
    i + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_told_from_code() {
        for (text, literal, code) in [
            ("a // b\nc", "a     \nc", "a     \nc"),
            (
                "a /* b /* c */ */ d",
                "a                 d",
                "a                 d",
            ),
            (r#"x("//");"#, r#"x("//");"#, "x(    );"),
            (r#"x("\"//");y"#, r#"x("\"//");y"#, "x(      );y"),
            (r##"x(r#"a"b"#);y"##, r##"x(r#"a"b"#);y"##, "x(        );y"),
            (r#"x(br"a");y"#, r#"x(br"a");y"#, "x(b    );y"),
            ("'a' + b'\\'' <'a>", "'a' + b'\\'' <'a>", "    + b     <'a>"),
            ("for\"a\"", "for\"a\"", "for   "),
        ] {
            assert_eq!(strip(text), (literal.to_owned(), code.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_test_module_is_no_product_code() {
        let text = "//! a\n#[cfg(test)]\nuse x;\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source::new("core/src/a.rs".into(), text.into());
        assert_eq!(source.product().count(), 4);
        assert_eq!(
            Source::new("core/tests/a.rs".into(), text.into())
                .product()
                .count(),
            0
        );
    }
}
