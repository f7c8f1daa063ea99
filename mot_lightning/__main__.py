"""python -m mot_lightning {fit,validate,test,generate,ledger}."""

from mot_lightning.cli.main import main

if __name__ == "__main__":
    main()
