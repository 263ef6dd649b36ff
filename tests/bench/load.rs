//! Loading large projects, side by side with `docker compose config`.
//!
//!     cargo bench --bench load
//!
//! `MOORLINE_ORACLE` names a docker-compose binary; without it nothing is compared with it, and a line says so.
//! `MOORLINE_BIN` names another program to measure, such as a static build.
//! A missed target is a failure; with `MOORLINE_BENCH_LENIENT=1` it is only said.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::format_push_string,
    missing_docs,
    reason = "a benchmark looks at the clock, starts programs, and stops at the first surprise"
)]

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The program under test, unless `MOORLINE_BIN` names another.
const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let moorline = env::var("MOORLINE_BIN").unwrap_or_else(|_| MOORLINE.to_owned());
    let mut misses = 0;
    let mut ours = Vec::new();
    for count in [500, 1_000, 10_000] {
        let place = folder.path().join(count.to_string());
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("compose.yaml"), manifest(count)).unwrap();
        let time = median(&moorline, &["render", "--output", "json", "."], &place);
        println!("{count:6} services   moorline render          {:9.1} ms", milliseconds(time));
        ours.push(time);
        if count == 500 {
            misses += usize::from(!compared(&place, time));
        }
    }
    let [small, _, large] = ours.as_slice() else { return ExitCode::FAILURE };
    let growth = large.as_secs_f64() / small.as_secs_f64() / 20.0;
    let is_linear = growth <= 1.5;
    println!(
        "10,000 services cost {growth:.2} of what 500 cost each, at most 1.50: {}",
        word(is_linear)
    );
    misses += usize::from(!is_linear);
    let lenient = env::var_os("MOORLINE_BENCH_LENIENT").is_some();
    if !lenient && misses > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether loading takes at most a tenth of what `docker compose config` takes.
fn compared(place: &Path, ours: Duration) -> bool {
    let Ok(oracle) = env::var("MOORLINE_ORACLE") else {
        println!("MOORLINE_ORACLE names no docker-compose: nothing is compared with it");
        return true;
    };
    let theirs = median(&oracle, &["config", "--format", "json"], place);
    let share = ours.as_secs_f64() / theirs.as_secs_f64();
    let is_met = share <= 0.1;
    println!("   500 services   docker compose config    {:9.1} ms", milliseconds(theirs));
    println!("moorline takes {share:.3} of the time, at most 0.100: {}", word(is_met));
    is_met
}

fn word(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(program: &str, words: &[&str], place: &Path) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            let status = Command::new(program)
                .args(words)
                .current_dir(place)
                .env("PWD", place)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "{program} {words:?}");
            begun.elapsed()
        })
        .collect();
    times.sort();
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}

/// A project of so many services, as people write them: anchors, variables, ports, volumes, checks, dependencies.
fn manifest(count: usize) -> String {
    let mut text = String::from(
        "x-common: &common\n  restart: unless-stopped\n  logging: {driver: json-file, options: {max-size: 10m}}\nservices:\n",
    );
    for number in 0..count {
        text.push_str(&format!(
            "  service-{number}:
    <<: *common
    image: registry.example.com/team/service-{number}:${{TAG:-1.2.3}}
    command: [\"serve\", \"--port\", \"8080\", \"--name=service-{number}\"]
    environment:
      LOG_LEVEL: ${{LOG_LEVEL:-info}}
      DATABASE_URL: postgres://db/service_{number}
      NUMBER: {number}
    ports: [\"{}:8080\"]
    volumes: [\"data-{number}:/data\", \"./conf/{number}.toml:/etc/app.toml:ro\"]
    networks: [front]
    labels: {{traefik.enable: \"true\", team: \"t{number}\"}}
    healthcheck: {{test: [CMD, wget, -q, \"http://127.0.0.1:8080\"], interval: 30s, retries: 3}}
    deploy: {{resources: {{limits: {{cpus: \"0.5\", memory: 256M}}}}}}
",
            10_000 + number
        ));
        if number > 0 {
            text.push_str(&format!("    depends_on: [service-{}]\n", number / 2));
        }
    }
    text.push_str("networks: {front: {}}\nvolumes:\n");
    for number in 0..count {
        text.push_str(&format!("  data-{number}: {{}}\n"));
    }
    text
}
