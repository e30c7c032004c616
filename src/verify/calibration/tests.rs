use super::*;

/// Pairs whose label follows from their number; their logit reflects the label more or less clearly.
fn samples(count: u32) -> Vec<Sample> {
    (0..count)
        .map(|n| {
            let is_same = n % 3 != 0;
            let year = if is_same { 1900 } else { 1901 + n };
            let asked = format!("how many people lived in town {n} in {year}");
            let cached = format!("how many people lived in town {n} in 1900");
            let similarity = 0.8 + 0.1 * (f32::from(u8::try_from(n % 10).unwrap()) / 10.0);
            let logit = if is_same { 2.0 } else { -2.0 } + f32::from(u8::try_from(n % 7).unwrap()) - 3.0;
            Sample::new(Features::of(&asked, &cached, similarity), Some(logit), is_same)
        })
        .collect()
}

fn fit(count: u32) -> Calibration {
    Calibration::fit("test", "rules", &samples(count)).unwrap()
}

#[test]
fn what_was_fitted_separates_the_labels() {
    let calibration = fit(600);
    for sample in samples(60) {
        let (cheap, full) =
            (calibration.cheap(&sample.features), calibration.full(&sample.features, sample.logit.unwrap()));
        assert_eq!(cheap > 0.5, sample.is_same);
        assert_eq!(full > 0.5, sample.is_same);
    }
    assert_eq!((calibration.positives, calibration.negatives), (400, 200));
    assert!(calibration.threshold(CalibratedStage::Full, 0.02).is_some());
}

#[test]
fn a_budget_that_the_data_cannot_show_has_no_threshold() {
    let calibration = fit(100);
    assert_eq!(calibration.threshold(CalibratedStage::Full, 0.01), None);
    assert!(calibration.threshold(CalibratedStage::Full, 0.2).is_some());
}

#[test]
fn the_cheap_stage_has_the_whole_budget_only_where_it_is_the_last() {
    let calibration = Calibration::bundled();
    for rate in [0.02, 0.05, 0.1, 0.2] {
        let whole = calibration.threshold(CalibratedStage::Cheap, rate);
        assert_eq!(calibration.cheap_threshold(CalibratedStage::Cheap, rate), whole);
        let half = calibration.threshold(CalibratedStage::Cheap, rate / 2.0);
        assert_eq!(calibration.cheap_threshold(CalibratedStage::Full, rate), half);
        assert!(half.is_none() || half > whole, "{rate}");
    }
}

#[test]
fn the_least_budget_is_that_of_the_stages_in_use() {
    let calibration = fit(600);
    for stage in [CalibratedStage::Cheap, CalibratedStage::Full] {
        let least = calibration.least_budget(stage).unwrap();
        assert!(calibration.threshold(stage, least).is_some());
        assert_eq!(calibration.threshold(stage, least.next_down()), None);
    }
    let samples: Vec<Sample> = samples(300).into_iter().map(|s| Sample { logit: None, ..s }).collect();
    let without = Calibration::fit("test", "rules", &samples).unwrap();
    assert_eq!(without.least_budget(CalibratedStage::Full), None);
    assert_eq!(without.budgets(CalibratedStage::Full), without.budgets(CalibratedStage::Cheap));
    // A calibration learned from feedback shows the same rates as the one that it started with.
    let learned = calibration.learn("learned", "judgements", &self::samples(600)).unwrap();
    for last in [CalibratedStage::Cheap, CalibratedStage::Full] {
        assert_eq!(learned.budgets(last), calibration.budgets(last));
    }
    let bundled = Calibration::bundled();
    let least = |last| bundled.budgets(last).least().unwrap();
    assert!(least(CalibratedStage::Full) <= 0.02, "the default must be one that can be shown");
    assert!(least(CalibratedStage::Full) <= least(CalibratedStage::Cheap));
}

#[test]
fn too_few_labels_are_an_error() {
    let error = Calibration::fit("test", "rules", &samples(30)).unwrap_err();
    assert!(error.is_invalid_input());
    assert!(
        error.to_string().starts_with("20 pairs of the same question and 10 of different ones"),
        "{error}"
    );
}

#[test]
fn a_calibration_survives_its_json() {
    let calibration = fit(300);
    assert_eq!(Calibration::from_json(&calibration.to_json()).unwrap(), calibration);
}

#[test]
fn what_is_no_calibration_is_refused() {
    let json = fit(300).to_json();
    for (from, to, message) in [
        (
            "\"similarity\"",
            "\"cosine\"",
            "calibration: made for other features; make it again with `wellspring calibrate`",
        ),
        ("\"scorer_from\"", "\"from\"", "calibration: not readable at line"),
        ("\"deviation\": ", "\"deviation\": -", "calibration: a number is not finite or out of range"),
    ] {
        let error = Calibration::from_json(&json.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

#[test]
fn refitting_moves_by_the_weight_of_the_labels() {
    let calibration = fit(600);
    let contrary: Vec<Sample> =
        samples(900).into_iter().map(|sample| Sample { is_same: !sample.is_same, ..sample }).collect();
    let sample = samples(1)[0];
    let before = calibration.cheap(&sample.features);
    let few = calibration.refit("few", "rules", &contrary[..60]).unwrap().cheap(&sample.features);
    let many = calibration.refit("many", "rules", &contrary).unwrap().cheap(&sample.features);
    assert!(before < few && few < many && many > 0.5, "{before} {few} {many}");
}

#[test]
fn few_labels_keep_the_thresholds_that_they_do_not_contradict() {
    let calibration = fit(600);
    let stage = CalibratedStage::Full;
    let agreeing = calibration.refit("few", "rules", &samples(90)).unwrap();
    assert_eq!(fit(90).threshold(stage, 0.02), None, "too few to show it alone");
    assert_eq!(agreeing.threshold(stage, 0.02), calibration.threshold(stage, 0.02));
    assert!(agreeing.least_budget(stage).is_some_and(|least| least <= 0.02));
    // The pairs judged wrong here are those that the calibration is surest of.
    let contrary: Vec<Sample> =
        samples(90).into_iter().map(|sample| Sample { is_same: !sample.is_same, ..sample }).collect();
    let contrary = calibration.refit("few", "rules", &contrary).unwrap();
    for sample in samples(90).iter().filter(|sample| sample.is_same) {
        let probability = contrary.full(&sample.features, sample.logit.unwrap());
        assert!(contrary.threshold(stage, 0.02).is_none_or(|least| probability < least), "{probability}");
    }
    assert_eq!(Calibration::from_json(&agreeing.to_json()).unwrap(), agreeing);
}

#[test]
fn the_similarity_decides_where_labels_show_that_it_finds_more() {
    // The base relies on the logit, which carries no information here; the similarity carries all of it.
    let by_similarity: Vec<Sample> = samples(900)
        .into_iter()
        .enumerate()
        .map(|(n, sample)| {
            let similarity = 0.5 + 0.49 * ((n * 37 % 900) as f32 / 900.0);
            let features = Features::of("how many people lived in it", "how many lived in it", similarity);
            let logit = Some(if n % 2 == 0 { 3.0 } else { -3.0 });
            Sample { features, logit, is_same: similarity > 0.8, ..sample }
        })
        .collect();
    let chosen = fit(600).refit("similarity", "rules", &by_similarity).unwrap();
    assert!(!chosen.uses_scorer(), "the features find as much without it");
    assert!(chosen.threshold(CalibratedStage::Cheap, 0.05).is_some());
    assert_eq!(chosen.budgets(CalibratedStage::Full), chosen.budgets(CalibratedStage::Cheap));
    // If the logit carries all the information, it is used.
    assert!(fit(600).uses_scorer());
}

#[test]
fn without_logits_there_is_one_stage() {
    let samples: Vec<Sample> = samples(300).into_iter().map(|s| Sample { logit: None, ..s }).collect();
    let calibration = Calibration::fit("test", "rules", &samples).unwrap();
    let features = samples[0].features;
    assert!((calibration.full(&features, 9.0) - calibration.cheap(&features)).abs() < f64::EPSILON);
    assert_eq!(calibration.threshold(CalibratedStage::Full, 0.5), None);
}

#[test]
fn thresholds_can_come_from_other_data() {
    let calibration = fit(600);
    let labels_at_odds: Vec<Sample> =
        samples(600).into_iter().enumerate().map(|(n, s)| Sample { is_same: n % 2 == 0, ..s }).collect();
    let measured = calibration.with_thresholds_of(&labels_at_odds).unwrap();
    assert_eq!(measured.threshold(CalibratedStage::Full, 0.05), None);
    assert!(calibration.threshold(CalibratedStage::Full, 0.05).is_some());
}

#[test]
fn reasons_name_what_decided() {
    let calibration = fit(600);
    let sample = samples(1)[0];
    let reasons = calibration.reasons(&sample.features, sample.logit, 3);
    assert_eq!(reasons.len(), 3);
    assert!(reasons.windows(2).all(|pair| pair[0].1.abs() >= pair[1].1.abs()));
    assert!(reasons.iter().any(|(name, weight)| name != "similarity" && *weight < 0.0), "{reasons:?}");
}

#[test]
fn the_bundled_calibration_prefers_the_same_question() {
    let calibration = Calibration::bundled();
    let question = "When was Warsaw founded?";
    let same = Features::of("When was the city of Warsaw founded?", question, 0.95);
    let other = Features::of("When was Krakow founded?", question, 0.95);
    assert!(calibration.cheap(&same) > calibration.cheap(&other));
    assert!(calibration.full(&same, 4.0) > calibration.full(&same, -6.0));
    for budget in [0.02, 0.05] {
        assert!(calibration.threshold(CalibratedStage::Full, budget).is_some(), "{budget}");
    }
}

#[test]
fn judged_hits_raise_thresholds_and_never_lower_them() {
    let base = fit(600);
    let threshold = |calibration: &Calibration| calibration.threshold(CalibratedStage::Full, 0.1).unwrap();
    let agreeing = base.learn("learned", "judgements", &samples(600)).unwrap();
    assert!((threshold(&agreeing) - threshold(&base)).abs() < f64::EPSILON);
    assert!((agreeing.scorer_from() - base.scorer_from()).abs() < f64::EPSILON);
    // Pairs that look right are wrong one time in two.
    let contrary: Vec<Sample> = samples(900)
        .into_iter()
        .filter(|sample| sample.is_same)
        .enumerate()
        .map(|(n, sample)| Sample { is_same: n % 2 == 0, ..sample })
        .collect();
    let doubting = base.learn("learned", "judgements", &contrary).unwrap();
    assert!(threshold(&doubting) > threshold(&base), "{} {}", threshold(&doubting), threshold(&base));
    assert_eq!(Calibration::from_json(&doubting.to_json()).unwrap(), doubting);
}

#[test]
fn the_record_of_an_entry_counts_once_it_was_learned_that_it_does() {
    let base = fit(600);
    // Labels that are explained only by the record of the entry.
    let judged: Vec<Sample> = samples(1_200)
        .into_iter()
        .filter(|sample| sample.is_same)
        .enumerate()
        .map(|(n, sample)| {
            let is_same = n % 3 != 0;
            let (right, wrong) = if is_same { (9, 1) } else { (1, 5) };
            Sample { features: sample.features.with_record(right, wrong), is_same, ..sample }
        })
        .collect();
    let learned = base.learn("learned", "judgements", &judged).unwrap();
    let sample = samples(2)[1];
    let (good, bad) = (sample.features.with_record(9, 1), sample.features.with_record(1, 5));
    assert!((base.cheap(&good) - base.cheap(&bad)).abs() < f64::EPSILON);
    assert!(learned.cheap(&good) > learned.cheap(&bad) + 0.1);
    assert!(learned.full(&good, 1.0) > learned.full(&bad, 1.0) + 0.1);
}

#[test]
fn thresholds_are_chosen_on_kinds_of_questions_that_the_fit_has_not_seen() {
    // In each group a different number decides whether the questions are the same, so nothing learned on the
    // others holds.
    let logit = |group: u32, is_same: bool| if group.is_multiple_of(2) == is_same { 4.0 } else { -4.0 };
    let samples: Vec<Sample> = (0..1_200_u32)
        .map(|n| {
            let (group, is_same) = (n % 6, n / 6 % 2 == 0);
            let features = Features::of("how is it opened", "how is it closed", 0.8);
            Sample { group, ..Sample::new(features, Some(logit(group, is_same)), is_same) }
        })
        .collect();
    let threshold = |samples: &[Sample]| {
        Calibration::fit("test", "rules", samples).unwrap().threshold(CalibratedStage::Full, 0.05)
    };
    assert_eq!(threshold(&samples), None);
    let alike: Vec<Sample> = samples
        .iter()
        .map(|sample| Sample { logit: Some(if sample.is_same { 4.0 } else { -4.0 }), ..*sample })
        .collect();
    assert!(threshold(&alike).is_some());
}
