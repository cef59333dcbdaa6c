"""`python -m metaplastic`, the same as `metaplastic`."""

from metaplastic.cli import main

if __name__ == "__main__":
    main()
