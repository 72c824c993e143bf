"""What the web page is made of: the run as the visitor sees it, and the templates that draw it; `api` is what programs
see. Nothing else here knows Gradio."""
