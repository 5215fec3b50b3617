NO_MKDOCS_2_WARNING=1 mkdocs build --strict -f "$ROOT/mkdocs.yml" -d "$PWD/site"
