# The language server in a container, for whoever wants it away from their system. docs/editors.md has the
# command that an editor starts. Never built: there was no Docker where this was written.
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements/serving.txt requirements/serving.txt
RUN python -m venv /foretype && /foretype/bin/pip install --no-cache-dir --require-hashes -r requirements/serving.txt
COPY pyproject.toml README.md LICENSE foretype.py ./
COPY assistant assistant
COPY lsp lsp
COPY model model
COPY training training
COPY editors/neovim editors/neovim
COPY editors/emacs editors/emacs
RUN /foretype/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
# git says which files belong to a repository.
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 foretype
COPY --from=build /foretype /foretype
USER foretype
ENTRYPOINT ["/foretype/bin/foretype"]
CMD ["lsp"]
