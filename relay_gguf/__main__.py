"""`python -m relay_gguf` is `relay-gguf`."""

import sys


def main() -> None:
    """Load the command line and run it: Ctrl-C is quiet while it loads, too."""
    try:
        from .cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
