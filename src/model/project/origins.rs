//! Where attributes stand.

use std::sync::Arc;

use crate::model::Location;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    path: Box<str>,
    file: Arc<str>,
    line: u32,
    column: u32,
}

/// Where each attribute stands, by dotted path: `services.web.environment.FOO`, `services.web.ports.0`.
/// A variable that an env file sets stands in that env file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// Origins of these paths; of entries with one path the last counts.
    pub fn collect(places: impl IntoIterator<Item = (Box<str>, Arc<str>, u32, u32)>) -> Self {
        let mut all: Vec<Origin> = places
            .into_iter()
            .map(|(path, file, line, column)| Origin { path, file, line, column })
            .collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        let mut kept: Vec<Origin> = Vec::with_capacity(all.len());
        for origin in all {
            match kept.last_mut() {
                Some(last) if last.path == origin.path => *last = origin,
                _ => kept.push(origin),
            }
        }
        Self(kept)
    }

    /// Where this attribute stands.
    pub fn get(&self, path: &str) -> Option<Location> {
        let place = self.0.binary_search_by(|origin| (*origin.path).cmp(path)).ok()?;
        self.0.get(place).map(|origin| Location {
            file: origin.file.to_string(),
            line: origin.line,
            column: origin.column,
        })
    }

    /// Where this attribute stands, or the nearest one around it that stands anywhere.
    pub fn nearest(&self, path: &str) -> Option<Location> {
        let mut path = path;
        loop {
            if let Some(location) = self.get(path) {
                return Some(location);
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    /// All paths below a prefix such as `services.web`, without the prefix, and where they stand.
    pub fn below<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (&'a str, Location)> {
        let prefix = format!("{prefix}.");
        let start = self.0.partition_point(|origin| *origin.path < *prefix);
        self.0.iter().skip(start).map_while(move |origin| {
            let rest = origin.path.strip_prefix(&prefix)?;
            let file = origin.file.to_string();
            Some((rest, Location { file, line: origin.line, column: origin.column }))
        })
    }

    /// How many places are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
