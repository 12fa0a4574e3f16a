"""How each kind of file becomes pages of text. Runs in the extraction process alone."""
