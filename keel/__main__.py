from keel.cli import console

console()
