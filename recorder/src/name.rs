//! What a file is called: the template of `record.file`, and the file that is made
//! under its name.
//!
//! Nothing that a publisher or a template says leads out of the recording folder:
//! a template is checked once, a key has no slash and no leading dot, and what a
//! time is written as must not have any either. An existing file is never opened:
//! where the name is taken, a number is put behind it.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use rillcast_core::StreamKey;

/// A template as `record.file` has it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// What stands between slashes; the last is the file's, without its extension.
    components: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    App,
    Name,
    /// When the file begins, in UTC, as `strftime` writes it.
    Start(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong and how to mend it, to stand behind the key's name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix(EXTENSION).unwrap_or(text);
        if body.starts_with('/') {
            return Err(format!(
                "is \"{text}\": write a path below record.path, without a slash at its begin"
            ));
        }
        let components = split(body)
            .map(|component| pieces(component, text))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { components })
    }

    /// The path below the recording folder for a file of `key` that begins at
    /// `start`, without its extension.
    pub(crate) fn path(&self, key: &StreamKey, start: Timestamp) -> PathBuf {
        let components = self.components.iter().map(|pieces| {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(piece) => text.push_str(piece),
                    Piece::App => text.push_str(key.app()),
                    Piece::Name => text.push_str(key.name()),
                    // Formats were tried when they were read.
                    Piece::Start(format) => {
                        let time = written(format, start).unwrap_or_default();
                        text.push_str(&time.replace('/', "-"));
                    }
                }
            }
            // A fraction that was zero when the format was tried may begin with a dot.
            if text.is_empty() || text.starts_with('.') {
                text.insert(0, '_');
            }
            shortened(text)
        });
        components.collect()
    }
}

/// A file that did not exist before.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) file: File,
    /// Its path below the recording folder.
    pub(crate) path: PathBuf,
}

/// Makes the file `stem` of `folder`, which gets its extension, and a number where
/// that name is taken; and the folders on the way.
///
/// # Errors
/// What the system says.
pub(crate) fn create(folder: &Path, stem: &Path) -> io::Result<Created> {
    let parent = stem.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder.join(parent))?;
    let name = stem.file_name().unwrap_or_default();
    for number in 1..=MOST_ALIKE {
        let mut name = name.to_os_string();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        name.push(EXTENSION);
        let path = parent.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        match options.open(folder.join(&path)) {
            Ok(file) => return Ok(Created { file, path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let why = format!("{} files have the name already", MOST_ALIKE);
    Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
}

/// Makes the entries of all folders from `folder` down to the file `path` last: a
/// file whose name is lost is lost.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_folders(folder: &Path, path: &Path) -> io::Result<()> {
    for parent in path.ancestors().skip(1) {
        File::open(folder.join(parent))?.sync_all()?;
    }
    Ok(())
}

/// The parts of a template between slashes that stand outside of braces.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.split(move |c| {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        c == '/' && !inside
    })
}

/// The pieces of one component of the template `all`.
fn pieces(component: &str, all: &str) -> Result<Vec<Piece>, String> {
    let fault = |why: &str| Err(format!("is \"{all}\": {why}"));
    if component.is_empty() {
        return fault("write a name between its slashes, and one for the file");
    }
    let mut pieces = Vec::new();
    let mut rest = component;
    while !rest.is_empty() {
        let (text, more) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
        if text.contains('}') {
            return fault("a brace is closed that was not opened");
        }
        if text
            .chars()
            .any(|c| c.is_control() || "\\:*?\"<>|".contains(c))
        {
            return fault("leave out control characters and any of \\ : * ? \" < > |");
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        rest = more;
        let Some(more) = rest.strip_prefix('{') else {
            break;
        };
        let Some((inside, more)) = more.split_once('}') else {
            return fault("a brace is not closed");
        };
        rest = more;
        pieces.push(match inside.split_once(':') {
            None if inside == "app" => Piece::App,
            None if inside == "name" => Piece::Name,
            Some(("start", format)) => {
                let sample = written(format, Timestamp::UNIX_EPOCH);
                let Some(sample) = sample.filter(|sample| !sample.is_empty()) else {
                    return fault(&format!(
                        "\"{format}\" is no format of a time: write one as strftime has it, like {{start:%Y-%m-%d}}"
                    ));
                };
                let clean = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
                if !sample.chars().all(clean) {
                    return fault(&format!(
                        "\"{format}\" writes the time as \"{sample}\", which cannot stand in a name: use - or _ between its figures"
                    ));
                }
                Piece::Start(format.to_owned())
            }
            _ => {
                return fault(&format!(
                    "{{{inside}}} is not known: write {{app}}, {{name}} or {{start:%Y-%m-%d}}"
                ));
            }
        });
    }
    // A key begins with no dot, but a format may write one.
    let dotted = match pieces.first() {
        Some(Piece::Text(text)) => text.starts_with('.'),
        Some(Piece::Start(format)) => {
            written(format, Timestamp::UNIX_EPOCH).is_none_or(|text| text.starts_with('.'))
        }
        _ => false,
    };
    if dotted {
        return fault("leave out the dot at the begin of a name");
    }
    Ok(pieces)
}

/// A time in UTC as `format` has it; `None` if that is no format.
fn written(format: &str, time: Timestamp) -> Option<String> {
    let mut text = String::new();
    let broken_down = BrokenDownTime::from(time);
    let display = broken_down.to_string(format).ok()?;
    write!(text, "{display}").ok()?;
    Some(text)
}

/// A name that file systems take, with room for a number and the extension.
fn shortened(mut text: String) -> String {
    let mut most = MOST_NAME.min(text.len());
    while !text.is_char_boundary(most) {
        most -= 1;
    }
    text.truncate(most);
    text
}

/// What every recording's name ends with.
pub(crate) const EXTENSION: &str = ".mp4";

/// File systems take 255 bytes: this leaves room for a number and the extension.
const MOST_NAME: usize = 240;

/// Files of one name that are told apart by numbers.
const MOST_ALIKE: u32 = 9_999;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, key: &str) -> Result<String, String> {
        let key = StreamKey::parse(key).unwrap();
        let start = "2026-03-04T05:06:07.89Z".parse().unwrap();
        let template = Template::parse(template)?;
        Ok(template.path(&key, start).to_str().unwrap().to_owned())
    }

    #[test]
    fn a_template_names_a_file() {
        for (template, want) in [
            (
                "{app}/{name}/{start:%Y-%m-%d}/{start:%H-%M-%S}.mp4",
                "live/cam/2026-03-04/05-06-07",
            ),
            ("{app}-{name}", "live-cam"),
            ("{name}", "cam"),
            ("all/of {app} {start:%s}", "all/of live 1772600767"),
            ("x.mp4", "x"),
            ("x.mkv", "x.mkv"),
            ("{start:%Y%m%dT%H%M%S}_{name}", "20260304T050607_cam"),
        ] {
            assert_eq!(
                path(template, "live/cam").as_deref(),
                Ok(want),
                "{template}"
            );
        }
    }

    #[test]
    fn a_template_that_cannot_be_used_is_refused_with_the_mend() {
        for (template, want) in [
            ("", "write a name between"),
            (".mp4", "write a name between"),
            ("{app}/", "write a name between"),
            ("{app}//{name}", "write a name between"),
            ("/tmp/{name}", "without a slash at its begin"),
            ("../{name}", "leave out the dot"),
            ("{app}/../{name}", "leave out the dot"),
            ("./{name}", "leave out the dot"),
            ("{app}/.{name}", "leave out the dot"),
            ("{start:..}/{name}", "leave out the dot"),
            ("{start:/}/{name}", "cannot stand in a name"),
            ("{start:%D}", "cannot stand in a name"),
            ("{start:%H:%M}", "cannot stand in a name"),
            ("{start:%}", "no format of a time"),
            ("{start:}", "no format of a time"),
            ("{start}", "{start} is not known"),
            ("{stream}", "{stream} is not known"),
            ("{name", "a brace is not closed"),
            ("name}", "closed that was not opened"),
            ("a\\b", "control characters"),
            ("a\0b", "control characters"),
        ] {
            let error = path(template, "live/cam").unwrap_err();
            assert!(error.contains(want), "{template}: {error}");
            assert!(error.starts_with("is \""), "{template}: {error}");
        }
    }

    #[test]
    fn no_key_leads_out_of_the_folder() {
        let long = format!("{}/{}", "é".repeat(127), "x".repeat(255));
        for key in ["live/cam", "a-b/c.d", "con/nul", long.as_str()] {
            for template in ["{app}/{name}", "{name}{app}", "{start:%Y}{name}/{app}-x"] {
                let path = PathBuf::from(path(template, key).unwrap());
                for component in path.components() {
                    let std::path::Component::Normal(name) = component else {
                        panic!("{key} in {template}: {component:?}");
                    };
                    assert!(name.len() <= MOST_NAME, "{key} in {template}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let make = || {
            let created = create(folder.path(), Path::new("a/b/c")).unwrap();
            sync_folders(folder.path(), &created.path).unwrap();
            created.path.to_str().unwrap().to_owned()
        };
        assert_eq!(make(), "a/b/c.mp4");
        fs::write(folder.path().join("a/b/c-2.mp4"), "somebody's").unwrap();
        assert_eq!(make(), "a/b/c-3.mp4");
        let kept = fs::read_to_string(folder.path().join("a/b/c-2.mp4"));
        assert_eq!(kept.unwrap(), "somebody's");
    }
}
