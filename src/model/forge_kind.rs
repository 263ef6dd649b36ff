//! The kinds of forge. The table below is the only place that lists them all for settings and messages; what each one
//! does is in its folder of the forge edge.

/// A row: the kind, its words in the settings (the first is the usual one), and hosts that everybody knows it by. A host
/// that begins with a dot stands for all below it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $words:expr, $hosts:expr;)*) => {
        /// The kinds of forge that Moorline speaks with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ForgeKind { $($(#[$doc])* $kind,)* }

        impl ForgeKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its words in the settings; the first is the usual one.
            pub const fn words(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &$words,)* }
            }

            /// Hosts that everybody knows to be one.
            const fn hosts(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &$hosts,)* }
            }
        }
    };
}

kinds! {
    /// github.com and GitHub Enterprise Server.
    GitHub: ["github"], ["github.com", "ssh.github.com", "www.github.com", "api.github.com"];
    /// gitlab.com and GitLab of one's own.
    GitLab: ["gitlab"], ["gitlab.com", "altssh.gitlab.com", "www.gitlab.com"];
    /// Gitea.
    Gitea: ["gitea"], ["gitea.com"];
    /// Forgejo.
    Forgejo: ["forgejo"], ["codeberg.org"];
    /// bitbucket.org.
    Bitbucket: ["bitbucket"], ["bitbucket.org", "altssh.bitbucket.org", "www.bitbucket.org", "api.bitbucket.org"];
    /// Azure DevOps Services and Server.
    Azure: ["azure", "azure-devops"], ["dev.azure.com", "ssh.dev.azure.com", ".visualstudio.com"];
}

impl ForgeKind {
    /// The usual word in the settings.
    pub fn word(self) -> &'static str {
        self.words().first().copied().unwrap_or_default()
    }

    /// From a word of the settings.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.words().contains(&word))
    }

    /// What is public knowledge of a host. Any other host is asked, not guessed.
    pub fn of_host(host: &str) -> Option<Self> {
        let is = |known: &&str| match known.strip_prefix('.') {
            Some(_) => host.ends_with(*known),
            None => host == *known,
        };
        Self::ALL.iter().copied().find(|kind| kind.hosts().iter().any(is))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_its_words_and_by_hosts_that_everybody_knows() {
        for kind in ForgeKind::ALL {
            assert_eq!(ForgeKind::parse(kind.word()), Some(*kind));
        }
        assert_eq!(ForgeKind::parse("azure-devops"), Some(ForgeKind::Azure));
        assert_eq!(ForgeKind::of_host("codeberg.org"), Some(ForgeKind::Forgejo));
        assert_eq!(ForgeKind::of_host("acme.visualstudio.com"), Some(ForgeKind::Azure));
        assert_eq!(ForgeKind::of_host("github.com.example.com"), None);
        assert_eq!(ForgeKind::of_host("evilvisualstudio.com"), None);
    }
}
