"""A folder of files for the hub.

folder     what belongs in it
modelcard  README.md
upload     sending it
"""
