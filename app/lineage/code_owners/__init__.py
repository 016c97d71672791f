"""The owners of files by CODEOWNERS, as GitHub reads it: of the patterns that match a file, the last one decides.

Anyone who can push writes that text, so files and patterns are not compared one by one: the files are a tree into which each pattern leads,
the last one first, and a file that is decided is not looked at again. What still takes long is limited.

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners

rules         the lines of the file, and the owners of files by them
patterns      what a pattern means
file_tree     the files, and which of them a pattern matches
"""
