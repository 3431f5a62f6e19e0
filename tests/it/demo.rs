//! The demo's folder. What the demo shows is its own affair.

use anyhow::Result;

use crate::support::Server;

#[path = "../demo/folder.rs"]
mod folder;

#[tokio::test]
async fn a_folder_is_not_emptied_below_a_server_that_works_in_it() -> Result<()> {
    let mut server = Server::start().await?;
    server.topic("kept", 1).await?;
    let format = server.folder().join("data/format.json");

    let refused = folder::fresh(server.folder(), "data").unwrap_err().to_string();
    let holder = std::fs::read_to_string(server.folder().join("data/LOCK"))?;
    let place = server.folder().join("data").display().to_string();
    assert!(refused.contains(&format!("process {holder},")) && refused.contains(&place), "{refused}");
    assert!(format.is_file(), "nothing was removed");

    server.terminate()?;
    server.ended().await?;
    folder::fresh(server.folder(), "data")?;
    assert!(server.folder().is_dir() && !format.exists(), "once it has ended the folder is emptied");
    Ok(())
}
