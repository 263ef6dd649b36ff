//! What a refusal means.

use serde_json::Value;

use super::{Answer, Ask, Http, cut, limits};
use crate::forge::{ForgeError, Right};
use crate::report::mask::{SecretSet, mask};

impl Http {
    /// An answer of any kind, unless the server says that it cannot answer now.
    pub(in crate::forge) fn is_up(&self, answer: Answer) -> Result<Answer, ForgeError> {
        let host = self.host();
        let wait = limits::asked(&answer.headers, (self.clock)());
        match answer.code {
            407 => Err(ForgeError::Proxy { host }),
            408 | 425 | 429 | 500.. => Err(ForgeError::Server { host, code: answer.code, wait }),
            _ => Ok(answer),
        }
    }

    /// A good answer, or what the refusal means.
    pub(super) fn understand(
        &self,
        ask: &Ask,
        answer: Answer,
        secrets: &SecretSet,
    ) -> Result<Answer, ForgeError> {
        let host = self.host();
        if self.rules.is_some_and(|rules| rules.unauthorised.contains(&answer.code)) {
            return Err(ForgeError::Unauthorised { host });
        }
        if (200..300).contains(&answer.code) {
            return Ok(answer);
        }
        let body = String::from_utf8_lossy(&answer.body);
        let told = self.rules.map_or(never as fn(u16, &str) -> bool, |rules| rules.asks_to_wait);
        let wait = limits::wait(answer.code, &answer.headers, (&body, told), (self.clock)());
        if let Some(wait) = wait {
            return Err(ForgeError::RateLimited { host, wait });
        }
        Err(match answer.code {
            401 => ForgeError::Unauthorised { host },
            // A conversation that was closed to all is no lack of rights.
            403 if is_locked(&body) => ForgeError::Rejected {
                host,
                code: 403,
                message: "the conversation is locked".to_owned(),
            },
            403 => {
                let named = self.rules.and_then(|rules| rules.missing);
                let told = named.and_then(|header| answer.header(header));
                let missing = told.map_or_else(
                    || self.needs(ask.right),
                    |told| format!("`{}`", mask(told, &SecretSet::default())),
                );
                ForgeError::Denied { host, right: ask.right, missing }
            }
            404 => ForgeError::NotFound { host, what: ask.what.clone() },
            409 => ForgeError::Busy { host },
            407 => ForgeError::Proxy { host },
            408 | 425 | 500.. => {
                let wait = limits::asked(&answer.headers, (self.clock)());
                ForgeError::Server { host, code: answer.code, wait }
            }
            code => {
                let message = cut(&mask(&message(&body), secrets), 200);
                ForgeError::Rejected { host, code, message }
            }
        })
    }

    /// What a token needs for a right, in the forge's own words.
    pub(in crate::forge) fn needs(&self, right: Right) -> String {
        self.rules.map_or("a token", |rules| (rules.needs)(right)).to_owned()
    }
}

fn never(_code: u16, _body: &str) -> bool {
    false
}

/// Whether a refusal speaks of a conversation that was locked (and not of something that is blocked).
fn is_locked(body: &str) -> bool {
    let mut words = body.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| word.eq_ignore_ascii_case("locked"))
}

/// What a refusal says: `message`, `error` or `errors`, as text, as a list, or as an object with a message.
fn message(body: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return body.lines().next().unwrap_or_default().to_owned();
    };
    let mut words: Vec<String> = Vec::new();
    for key in ["message", "error", "errors"] {
        match value.get(key) {
            Some(Value::String(text)) => words.push(text.clone()),
            Some(Value::Array(items)) => words.extend(items.iter().map(|item| {
                item.get("message")
                    .and_then(Value::as_str)
                    .map_or_else(|| item.to_string(), str::to_owned)
            })),
            Some(Value::Object(fields)) => words.push(
                fields
                    .get("message")
                    .and_then(Value::as_str)
                    .map_or_else(|| value.to_string(), str::to_owned),
            ),
            _ => {}
        }
    }
    words.join(": ")
}
