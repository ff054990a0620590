"""`verify` for a module that the user wrote by hand: is it the function that the legacy file holds, and does it learn alike?"""
