//! The README's commands do what it says, typed in as they stand there: a first build, and a first quarantine.

use std::process::{Command, Output};

use imagefactory_tests::Cluster;
use imagefactory_tests::environment::Environment;
use imagefactory_tests::wait::until;

/// A block of commands, and what is shown below it.
struct Step {
    commands: String,
    shown: Option<String>,
}

/// Steps between two headings. What is shown belongs to the commands above it.
fn steps(text: &str, from: &str, to: &str) -> Vec<Step> {
    let text = text.split_once(from).expect("the README has that heading").1;
    let text = text.split_once(to).expect("the README has that heading").0;
    let mut steps: Vec<Step> = Vec::new();
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, block) = block.split_once('\n').unwrap_or((block, ""));
        if language == "sh" {
            steps.push(Step {
                commands: block.to_owned(),
                shown: None,
            });
        } else if let Some(step) = steps.last_mut() {
            step.shown = Some(block.to_owned());
        }
    }
    steps
}

impl Step {
    fn run(&self, environment: &Environment) -> Output {
        Command::new("bash")
            .args(["-e", "-c", &self.commands])
            .current_dir(environment.path(""))
            .env("KUBECONFIG", environment.get("KUBECONFIG"))
            .output()
            .expect("there is a shell")
    }

    /// Expects that the commands end well; where what is shown is a refusal, with just that.
    fn goes_as_shown(&self, environment: &Environment) {
        let output = self.run(environment);
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let refusal = self.shown.as_deref().and_then(|shown| shown.trim().strip_prefix("… "));
        let what = format!("{}\n{said}\n{complained}", self.commands);
        match refusal {
            Some(refusal) => assert!(!output.status.success() && complained.contains(refusal), "{what}"),
            None => assert!(output.status.success(), "{what}"),
        }
        let lines = self.shown.iter().flat_map(|shown| shown.lines());
        for line in lines.filter(|line| refusal.is_none() && !line.contains("AGE") && !line.ends_with('s')) {
            assert!(said.contains(line), "not said: {line}\n{what}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_the_readme_tells_to_type_does_what_it_shows() {
    let cluster = Cluster::connect().await;
    let environment = &cluster.environment;
    let readme = std::fs::read_to_string(environment.path("README.md")).unwrap();
    let mut steps = steps(&readme, "## A first build, by hand", "## Read on");
    assert!(steps.len() >= 8, "{} steps", steps.len());
    // Its first line is for the person's own shell.
    let shell = steps.remove(0).commands;
    assert!(shell.contains(".cluster/env"), "{shell}");
    for step in &mut steps {
        step.commands = format!("{shell}\n{}", step.commands);
    }
    let clean_up = steps.pop().unwrap();
    assert!(clean_up.commands.contains("delete tenant"), "{}", clean_up.commands);
    // What an earlier run left behind, which may have broken off anywhere.
    leaves_nothing(&cluster, &clean_up).await;
    for step in &steps {
        step.goes_as_shown(environment);
    }
    // "The same request as in step 1."
    let asked = steps
        .iter()
        .find(|step| step.commands.contains("kind: QuarantineRequest"));
    let again = asked.expect("a request is made").run(environment);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    leaves_nothing(&cluster, &clean_up).await;
}

/// Cleans up, as soon as the tenant may go: a build that has just ended is counted a few seconds longer.
async fn leaves_nothing(cluster: &Cluster, clean_up: &Step) {
    // Some of it may not be there.
    let clean_up = Step {
        commands: format!("set +e\n{}", clean_up.commands),
        shown: None,
    };
    let made = [
        "tenant/docs-try",
        "imagepolicy/docs-try-no-perl",
        "sorrecord/docs-try-1",
    ];
    until("nothing of it is left", 60, async || {
        let _ = clean_up.run(&cluster.environment);
        let left = made.iter().any(|name| cluster.kubectl().run(&["get", name]).ok);
        (!left).then_some(())
    })
    .await;
}
