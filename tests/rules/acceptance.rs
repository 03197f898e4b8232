use augenmass::rules::File;

/// Each file is accepted or refused as `promtool check rules` does, with as many rules found.
#[test]
fn files_are_accepted_and_refused_as_promtool_does() {
    let Some(folder) = super::corpus("acceptance/rules") else { return };
    let verdicts = super::verdicts(&folder);
    let mut differs = Vec::new();
    for verdict in &verdicts {
        let name = verdict["file"].as_str().unwrap();
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let wanted = verdict["rules_found"].as_u64();
        let accepted = verdict["verdict"] == "accepted";
        let ours = match String::from_utf8(bytes) {
            Ok(text) => File::parse(name, &text).map_err(|problems| {
                assert!(!problems.is_empty());
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }),
            Err(error) => Err(error.to_string()),
        };
        let same = match &ours {
            Ok(file) => accepted && wanted.is_none_or(|wanted| wanted == file.rules() as u64),
            Err(_) => !accepted,
        };
        if !same {
            let ours = ours.map(|file| format!("{} rules", file.rules()));
            differs.push((name.to_owned(), format!("{ours:?}, wanted {accepted} {wanted:?}")));
        }
    }
    super::judge("acceptance/rules", verdicts.len(), &differs, include_str!("acceptance.known"));
}
