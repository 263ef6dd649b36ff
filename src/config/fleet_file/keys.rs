//! Every key of the fleet file.

use super::super::reader::Key;

/// What a stack says and what all stacks may share: the path below `stacks.NAME` or `defaults`, and the rest.
macro_rules! shared {
    ($prefix:literal) => {
        [
            key(
                concat!($prefix, ".profiles"),
                "list of texts",
                "none",
                "[web]",
                "Compose profiles that are active",
            ),
            key(
                concat!($prefix, ".environment"),
                "mapping of texts",
                "none",
                "{TAG: \"1.4.2\"}",
                "Variables for interpolation; the daemon's own environment never leaks in",
            ),
            key(
                concat!($prefix, ".unset"),
                "one of hold, warn",
                "hold",
                "warn",
                "Variables without a value and without a default: `hold` leaves the stack as it is and names them; `warn` takes them for empty, as docker compose does",
            ),
            key(
                concat!($prefix, ".hosts"),
                "names, or labels, or a list of both, or all",
                "the only host",
                "[edge-1, {zone: a}]",
                "Where it runs: each host that one of the entries chooses; labels choose hosts that have them all",
            ),
            key(
                concat!($prefix, ".sync"),
                "one of auto, manual",
                "auto",
                "manual",
                "`manual` plans and reports only, until `moorline sync STACK`",
            ),
            key(
                concat!($prefix, ".drift"),
                "one of correct, report",
                "correct",
                "report",
                "`report` holds differences that no commit made",
            ),
            key(
                concat!($prefix, ".ignore"),
                "list of texts",
                "none",
                "[\"services.*.labels.traefik.*\"]",
                "Fields that others own; `*` stands for any run of characters",
            ),
            key(
                concat!($prefix, ".prune.services"),
                "boolean",
                "true",
                "false",
                "Whether containers of services that are gone are removed",
            ),
            key(
                concat!($prefix, ".prune.networks"),
                "boolean",
                "true",
                "false",
                "Whether networks that are gone are removed",
            ),
            key(
                concat!($prefix, ".prune.volumes"),
                "boolean",
                "false",
                "true",
                "Whether volumes that are gone are removed, with their data",
            ),
            key(
                concat!($prefix, ".adopt"),
                "boolean",
                "false",
                "true",
                "Whether containers that docker compose made under this project name are taken over",
            ),
            key(
                concat!($prefix, ".directory"),
                "absolute path on the host",
                "where it was; else `state/STACK` in the host's data folder",
                "/opt/stacks/{stack}",
                "The stack's own folder, for relative binds that are not in Git; `{stack}` stands for the stack's name",
            ),
            key(
                concat!($prefix, ".priority"),
                "whole number",
                "0",
                "10",
                "Who gets room first when hosts are full: the higher",
            ),
        ]
    };
}

/// The keys of one window.
macro_rules! window {
    ($prefix:literal) => {
        [
            key(
                concat!($prefix, ".allow"),
                "cron expression",
                "none",
                "0 22 * * 1-5",
                "Opens a time in which changes may happen; with one such window, they happen at no other time",
            ),
            key(
                concat!($prefix, ".deny"),
                "cron expression",
                "none",
                "0 0 24 12 *",
                "Opens a time in which no change happens, whatever is allowed",
            ),
            key(
                concat!($prefix, ".for"),
                "duration",
                "required",
                "4h",
                "How long the window stays open, at least 1m",
            ),
            key(
                concat!($prefix, ".zone"),
                "time zone",
                "UTC",
                "Europe/Berlin",
                "The zone in which the expression is read",
            ),
        ]
    };
}

const fn key(
    path: &'static str,
    shape: &'static str,
    default: &'static str,
    example: &'static str,
    says: &'static str,
) -> Key {
    Key { path, shape, default, example, says }
}

const OWN: [Key; 7] = [
    key(
        "stacks.NAME.path",
        "path in the repository",
        "the stack's name",
        "apps/shop",
        "The stack's folder",
    ),
    key(
        "stacks.NAME.project",
        "name",
        "`name:` of the Compose file, else the stack's name",
        "shop-v2",
        "The Compose project: what containers, networks and volumes are called after",
    ),
    key(
        "stacks.NAME.files",
        "list of paths",
        "Compose's own file and its override",
        "[compose.yaml, compose.prod.yaml]",
        "Compose files, relative to the folder, later ones over earlier ones",
    ),
    key(
        "stacks.NAME.env_files",
        "list of paths",
        "`.env` of the folder",
        "[prod.env]",
        "Files of variables for interpolation, relative to the folder",
    ),
    key(
        "stacks.NAME.after",
        "list of stacks",
        "none",
        "[database]",
        "Stacks that must be in sync and healthy first",
    ),
    key(
        "stacks.NAME.suspend.reason",
        "text",
        "required to suspend",
        "moving house",
        "Switches the stack off, and says why",
    ),
    key(
        "stacks.NAME.suspend.until",
        "instant",
        "until the key is removed",
        "2026-12-24T18:00:00Z",
        "When the suspension ends by itself (RFC 3339)",
    ),
];

const FLEET: [Key; 6] = [
    key(
        "defaults.env_files",
        "list of paths",
        "none",
        "[common.env]",
        "Files of variables that stacks share: at the repository's root, and in the stack's folder over it; the stack's own `.env` or `env_files` is over both",
    ),
    key(
        "empty",
        "boolean",
        "false",
        "true",
        "With `stacks: {}`: no stack is meant to be left, and the last ones are removed",
    ),
    key(
        "waves",
        "list of hosts, labels or `rest`",
        "all hosts at once",
        "[[edge-1], {zone: a}, rest]",
        "The order in which a change of a stack reaches its hosts: each wave waits until the one before is healthy. Hosts of no wave come last",
    ),
    key(
        "wave_deadline",
        "duration",
        "15m",
        "30m",
        "How long a wave, or the stacks of an `after`, may take to become healthy; then what follows is stopped and says so",
    ),
    key(
        "windows[].stacks",
        "list of texts",
        "all stacks",
        "[shop, \"edge-*\"]",
        "Stacks that the window is about; `*` stands for any run of characters",
    ),
    key(
        "windows[].hosts",
        "names, or labels, or a list of both, or all",
        "all hosts",
        "{zone: a}",
        "Hosts that the window is about",
    ),
];

const STACK: [Key; 13] = shared!("stacks.NAME");
const DEFAULTS: [Key; 13] = shared!("defaults");
const STACK_WINDOW: [Key; 4] = window!("stacks.NAME.windows[]");
const FLEET_WINDOW: [Key; 4] = window!("windows[]");

/// Every key of the fleet file, in the order in which the documents list them.
pub const FLEET_KEYS: &[&[Key]] = &[&OWN, &STACK, &STACK_WINDOW, &DEFAULTS, &FLEET, &FLEET_WINDOW];
