//! Which image each pattern is about: `libc:malloc`, `/path/lib.so:fn`, or the target itself.

use std::{path::Path, sync::Arc};

use anyhow::Result;

use super::exit::Failure;
use crate::{
    symbols::{
        Image, ImageError,
        pattern::{self, MatchError},
    },
    target::{Libraries, LibraryError, Target},
};

/// A pattern with the image it is about.
#[derive(Debug)]
pub struct Pick {
    /// Index into [`Selection::images`].
    pub image: usize,
    /// What to match there.
    pub pattern: String,
}

/// The images that patterns are about.
#[derive(Debug)]
pub struct Selection {
    /// The target's own image first.
    pub images: Vec<Arc<Image>>,
    /// In the order of the patterns; one pattern can be about several files of one name.
    pub picks: Vec<Pick>,
}

/// Why a pattern has no image.
#[derive(Debug, thiserror::Error)]
enum SelectError {
    /// The text before the colon.
    #[error("'{pattern}': {source}")]
    Library {
        /// As typed.
        pattern: String,
        /// Why.
        source: LibraryError,
    },
    /// The library cannot be read.
    #[error("'{pattern}': {source}")]
    Image {
        /// As typed.
        pattern: String,
        /// Why.
        source: ImageError,
    },
}

/// Finds the image of each of `patterns`; `image` is that of `target`.
pub fn select<'p>(
    target: &Target,
    image: Arc<Image>,
    patterns: impl IntoIterator<Item = &'p str>,
) -> Result<Selection> {
    let mut selector = Selector {
        target,
        libraries: None,
        images: vec![image],
    };
    let mut picks = Vec::new();
    for pattern in patterns {
        picks.extend(selector.pick(pattern.trim())?);
    }
    Ok(Selection {
        images: selector.images,
        picks,
    })
}

struct Selector<'t> {
    target: &'t Target,
    libraries: Option<Libraries>,
    images: Vec<Arc<Image>>,
}

impl Selector<'_> {
    fn pick(&mut self, text: &str) -> Result<Vec<Pick>> {
        let own = || {
            vec![Pick {
                image: 0,
                pattern: text.to_owned(),
            }]
        };
        let mut failed = None;
        for (left, right) in splits(text) {
            if names_program(left, &self.images[0]) {
                return Ok(vec![Pick {
                    image: 0,
                    pattern: right.to_owned(),
                }]);
            }
            match self.libraries().find(left) {
                Ok(found) => {
                    let mut picks = Vec::new();
                    for library in found {
                        let image = Image::open_as(&library.open_path, &library.show_path);
                        let image = image.map_err(|source| image_failure(text, source))?;
                        picks.push(Pick {
                            image: self.add(image),
                            pattern: right.to_owned(),
                        });
                    }
                    return Ok(picks);
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        let Some(source) = failed else {
            return Ok(own());
        };
        // Go has names such as `type:.eq.main.T`, and a regular expression may hold a colon.
        let main = &self.images[0];
        let expression = text.len() > 1 && text.starts_with('/') && text.ends_with('/');
        if expression || !matches!(pattern::find(main, text), Err(MatchError::NoMatch { .. })) {
            return Ok(own());
        }
        Err(Failure::usage(SelectError::Library {
            pattern: text.to_owned(),
            source,
        }))
    }

    fn libraries(&mut self) -> &Libraries {
        self.libraries
            .get_or_insert_with(|| Libraries::of(self.target, &self.images[0]))
    }

    /// Index of an image, which is kept once however often it is named.
    fn add(&mut self, image: Image) -> usize {
        let known = self
            .images
            .iter()
            .position(|other| other.id() == image.id());
        known.unwrap_or_else(|| {
            self.images.push(Arc::new(image));
            self.images.len() - 1
        })
    }
}

fn image_failure(pattern: &str, source: ImageError) -> anyhow::Error {
    let denied = matches!(source, ImageError::Permission { .. });
    let error = SelectError::Image {
        pattern: pattern.to_owned(),
        source,
    };
    if denied {
        Failure::not_allowed(error)
    } else {
        Failure::usage(error)
    }
}

/// Whether `text` is the file name of the target's own image.
fn names_program(text: &str, image: &Image) -> bool {
    let path = image.path();
    path.file_name().is_some_and(|name| name == text) || path == Path::new(text)
}

/// Every way to split at a colon that is no part of `::`, except where the whole is a source line
/// (`file.c:42`).
fn splits(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let bytes = text.as_bytes();
    let single = |at: usize| {
        let other = |at: Option<usize>| at.and_then(|at| bytes.get(at)) != Some(&b':');
        other(at.checked_sub(1)) && other(at.checked_add(1))
    };
    text.match_indices(':')
        .filter(move |(at, _)| single(*at))
        .map(|(at, _)| (&text[..at], &text[at + 1..]))
        .filter(|(left, right)| !left.is_empty() && !right.is_empty())
        .filter(|_| pattern::source_line(text).is_none())
}

#[cfg(test)]
mod tests {
    use super::splits;

    fn all(text: &str) -> Vec<(&str, &str)> {
        splits(text).collect()
    }

    #[test]
    fn only_single_colons_split() {
        assert_eq!(all("libc:malloc"), [("libc", "malloc")]);
        assert_eq!(all("lib.so:a::b"), [("lib.so", "a::b")]);
        assert_eq!(all("a::b"), []);
        assert_eq!(all("a:"), []);
        assert_eq!(all(":a"), []);
        assert_eq!(all("main.c:42"), []);
        assert_eq!(
            all("/a:b/lib.so:f"),
            [("/a", "b/lib.so:f"), ("/a:b/lib.so", "f")]
        );
        assert_eq!(
            all("libx.so:main.c:42"),
            [("libx.so", "main.c:42"), ("libx.so:main.c", "42")]
        );
    }
}
