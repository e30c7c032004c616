//! `wellspring token`: makes a token for a user of the gateway.

use clap::{Args, ValueEnum};
use owo_colors::OwoColorize as _;
use serde_json::json;
use wellspring_gateway::auth::{Permission, Token};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::output;

/// Create a token for the gateway
///
/// Prints the token and the line with its hash for [server] in the configuration. The token is shown only once; nothing
/// is stored.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The name of its user, for the configuration and the log
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What it allows; separate several scopes with commas
    #[arg(value_name = "SCOPES", value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scope {
    /// Look answers up
    Read,
    /// Send requests through the proxy and store answers
    Fill,
    /// Report whether answers were right
    Feedback,
    /// Report changed documents
    Invalidate,
    /// Everything
    Admin,
}

impl From<Scope> for Permission {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Fill => Self::Fill,
            Scope::Feedback => Self::Feedback,
            Scope::Invalidate => Self::Invalidate,
            Scope::Admin => Self::Admin,
        }
    }
}

pub(crate) fn run(args: TokenArgs, context: &Context) -> anyhow::Result<Exit> {
    let secret = format!("ws-{}", hex::encode(rand::random::<[u8; 32]>()));
    let permissions: Vec<Permission> = args.scopes.into_iter().map(Permission::from).collect();
    let token = Token::new(&args.name, &permissions, &secret).to_string();
    if context.json {
        output::json(&json!({ "token": secret, "configured": token }))?;
    } else {
        output::line(format_args!("{}  {secret}", "token".bold()))?;
        output::line(format_args!("\nIts hash, for [server] of wellspring.toml:\ntokens = [\"{token}\"]"))?;
    }
    Ok(Exit::Success)
}

fn name(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err("use only letters, digits, - _ and .");
    }
    Ok(text.to_owned())
}
