//! A configuration that comes from a file: an edit written into it, an edit made to it by others, a reload.

use std::fs;

use crate::stage::Stage;

#[tokio::test]
async fn an_edit_is_written_into_the_file_with_its_comments() {
    let Some(stage) = Stage::mismatch().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/app/edit").await;
    console.fill("[name='slow_start']", "30s").await;
    console.click("input[name=keep][value=file]").await;
    console.click("#save").await;
    console.wait("document.querySelector('#saved') !== null", "the edit is in force").await;
    let text = fs::read_to_string(stage.file()).unwrap();
    assert!(text.contains("slow_start = \"30s\""), "{text}");
    assert!(text.starts_with("# The configuration of this test."), "{text}");
    stage.show("#/config/history").await;
    console.wait_text("in the file").await;
    console.picture("file-history").await;
    stage.close().await;
}

#[tokio::test]
async fn what_others_wrote_into_the_file_is_shown_and_reloaded() {
    let Some(stage) = Stage::trusted().await else { return };
    let console = &stage.tab;
    stage.show("#/").await;
    let text = fs::read_to_string(stage.file()).unwrap();
    fs::write(stage.file(), text.replace("duration = \"1h\"", "duration = \"12h\"")).unwrap();
    console.click_text("file differs").await;
    console.wait_text("12h").await;
    console.picture("file-differs").await;
    console.click("#reload").await;
    console.wait_text("Nothing: what runs is what the file says.").await;
    stage.show("#/groups/app").await;
    console
        .wait("document.querySelector('#stickiness .match') === null", "nothing to warn of")
        .await;
    stage.close().await;
}

#[tokio::test]
async fn where_the_file_cannot_be_written_that_is_not_offered_and_says_why() {
    let Some(stage) = Stage::mismatch().await else { return };
    let console = &stage.tab;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o444);
    fs::set_permissions(stage.file(), mode).unwrap();
    stage.show("#/groups/app/edit").await;
    let disabled = "document.querySelector('input[name=keep][value=file]').disabled";
    assert!(console.evaluate::<bool>(disabled).await);
    console.wait_text("Not possible: It is read-only (mode 0444).").await;
    console.picture("file-read-only").await;
    stage.close().await;
}
