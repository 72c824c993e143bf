"""The web page. `layout`, `handlers`, `server` and `api` know Gradio; everything else does not."""
