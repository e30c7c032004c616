//! `wellspring calibrate`: fits the verifier's calibration to labelled questions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use wellspring::error::{Error, ErrorKind};
use wellspring::verify::Calibration;
use wellspring_eval::calibrating::Report;
use wellspring_eval::examined::Examiner;
use wellspring_eval::pair_report::Labelled;
use wellspring_eval::pairs::parse;

use super::context::Context;
use super::eval::{content, progress};
use super::exit::Exit;
use super::output::{self, Column, table};

/// Fit the verifier to labelled questions, and report which error budgets they can show
///
/// Each line of the file is {"a": "…", "b": "…", "label": 1}, as for `eval pairs`. Use real questions: a threshold
/// holds only for data like the data that it was chosen on. A few hundred labels adjust the bundled calibration; a few
/// thousand replace it. If similarity alone finds more hits in them than the model does, it decides without the model.
#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// The pairs, as JSON lines; - reads standard input
    file: String,
    /// Write the calibration to this file; - writes it to standard output, without the report
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Name the calibration
    #[arg(long, default_value = "custom")]
    name: String,
    /// Start from scratch instead of from the bundled calibration
    #[arg(long)]
    from_scratch: bool,
}

pub(crate) async fn run(args: CalibrateArgs, context: &Context) -> anyhow::Result<Exit> {
    let pairs = parse(&content(&args.file, "the pairs")?)?;
    let embedder = context.config.open_embedder().await?;
    let scorer = context.config.open_scorer(&embedder).await?;
    let scored_by = scorer.as_ref().map(|scorer| scorer.name().to_owned());
    // With `--from-scratch`, the calibration that comes with the model is not read: it is about to be
    // replaced.
    let encoder = Arc::clone(&embedder).token_encoder().filter(|_| !args.from_scratch);
    let base = encoder.map_or(Ok(None), |encoder| Calibration::bundled_for(encoder.name()))?;
    let base = base.unwrap_or_else(Calibration::bundled);
    if !args.from_scratch && scored_by.is_some() && scored_by != base.scorer {
        let message = "there is no calibration for this scorer to start from: add --from-scratch";
        return Err(Error::new(ErrorKind::Config, message).into());
    }
    let examiner = Examiner { guards: context.config.guards(), calibration: Arc::clone(&base), scorer };
    let (bar, mut progress) = progress("embedding");
    let labelled = Labelled::of(&*embedder, &examiner, &pairs, &mut progress).await;
    bar.finish_and_clear();
    let samples = labelled?.samples();
    let fitted_on = format!("{} labelled pairs, embedded by {}", pairs.len(), embedder.model().fingerprint());
    let CalibrateArgs { write, name, from_scratch, .. } = args;
    let calibration = tokio::task::spawn_blocking(move || {
        let mut calibration = if from_scratch {
            Calibration::fit(&name, &fitted_on, &samples)?
        } else {
            base.refit(&name, &fitted_on, &samples)?
        };
        calibration.scorer = scored_by;
        Ok::<_, Error>(calibration)
    })
    .await??;
    if write.as_deref() == Some(Path::new("-")) {
        output::line(calibration.to_json().trim_end())?;
        return Ok(Exit::Success);
    }
    if let Some(path) = &write {
        std::fs::write(path, calibration.to_json())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &write {
        let path = path.display();
        output::note(format_args!("written to {path}; set match.calibration = \"{path}\" to use it"));
    }
    let report = Report::of(&calibration);
    if context.json {
        output::json(&report)?;
    } else {
        output::line(text_of(&report))?;
    }
    Ok(Exit::Success)
}

fn text_of(report: &Report) -> String {
    let columns = [
        Column::Right("FALSE HITS"),
        Column::Right("THRESHOLD"),
        Column::Right("WITHOUT SCORER"),
        Column::Left("DATA"),
    ];
    let threshold = |threshold: Option<f64>| threshold.map_or_else(|| "–".into(), |t| format!("{t:.4}"));
    let rows = report.budgets.iter().map(|budget| {
        vec![
            format!("{:.0} %", 100.0 * budget.max_false_hit_rate),
            threshold(budget.threshold),
            threshold(budget.threshold_without_scorer),
            budget.verdict.to_owned(),
        ]
    });
    let least = match report.least_max_false_hit_rate {
        Some(least) => format!("the lowest max_false_hit_rate that can be shown is {least}"),
        None => "no max_false_hit_rate can be shown".to_owned(),
    };
    let is_kept = report.budgets.iter().any(|budget| budget.verdict == "unconfirmed");
    let kept = "\nunconfirmed: too few pairs to show it; the previous threshold is kept, or raised as far as the \
     pairs contradict it";
    let kept = if is_kept { kept } else { "" };
    format!(
        "{}: {} pairs of the same question, {} of different ones\n\n{}\n\n{least}{kept}",
        report.name,
        report.positives,
        report.negatives,
        table(&columns, rows)
    )
}
