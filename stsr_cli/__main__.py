"""`python -m stsr_cli` is `stsr`."""

from stsr_cli.cli import main

if __name__ == "__main__":
    main()
