//! What commands exit with: the table of docs/OPERATIONS.md, each row lived through.

use crate::support::daemon::Harbour;
use crate::support::fake_engine::Behaviour;
use crate::support::world::folder;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: \"no\"\n";
const COMMANDS: [&str; 4] = ["sync", "plan", "drift", "status"];

/// The rows of the table: when, and the codes.
fn rows() -> Vec<(String, Vec<i32>)> {
    let path = folder("..").join("docs/OPERATIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| when | `sync`")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|')).map(|line| {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let when = cells.next().unwrap().to_owned();
        (when, cells.map(|cell| cell.parse().unwrap()).collect())
    });
    rows.collect()
}

/// Brings a situation about. Words that the commands get besides.
async fn arrange(harbour: &Harbour, when: &str) -> Vec<&'static str> {
    harbour.push(&[("shop/compose.yaml", WEB)], "the shop");
    match when {
        "everything is in sync and works" => {
            assert_eq!(harbour.command(&["sync"]).await.0, 0);
        }
        "a host differs, and can be made good" => {}
        "a service does not work" => {
            let ends = Some((std::time::Duration::from_millis(1), 3));
            harbour.hosts["local"].behave("web", Behaviour { ends, ..Behaviour::default() });
        }
        "a host cannot be reached" => {
            std::fs::remove_file(harbour.hosts["local"].socket()).unwrap()
        }
        "the fleet file is refused" => {
            harbour.push(&[("fleet.yaml", "stacks: {shop: {hots: all}}\n")], "a slip");
        }
        "a manifest cannot be used" => {
            harbour.push(&[("shop/compose.yaml", "services: {web: {imag: x}}\n")], "a slip");
        }
        "a stack with `sync: manual` waits for its name" => {
            harbour.push(&[("fleet.yaml", "stacks: {shop: {sync: manual}}\n")], "by hand");
        }
        "a stack is suspended" => {
            let said = harbour.command(&["suspend", "shop", "--reason", "audit"]).await;
            assert_eq!(said.0, 0, "{said:?}");
        }
        "a stack is named that does not exist" => return vec!["blog"],
        other => panic!("nobody knows how to bring about: {other}"),
    }
    Vec::new()
}

#[tokio::test]
async fn commands_exit_with_what_the_table_says() {
    let rows = rows();
    assert!(rows.len() >= 9, "{rows:?}");
    let lived = rows.iter().map(async |(when, codes)| {
        let harbour = Harbour::new(&["local"]).await;
        let more = arrange(&harbour, when).await;
        let mut found = Vec::new();
        // `sync` changes the host: it comes last.
        for command in COMMANDS.iter().rev() {
            let words: Vec<&str> = [*command].into_iter().chain(more.iter().copied()).collect();
            found.push(harbour.command(&words).await.0);
        }
        found.reverse();
        (when, codes, found)
    });
    let mut wrong = Vec::new();
    for lived in lived {
        let (when, codes, found) = lived.await;
        if *codes != found {
            wrong.push(format!("{when}: the table says {codes:?}, and it was {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{COMMANDS:?}\n{}", wrong.join("\n"));
}
