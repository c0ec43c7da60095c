"""Twilio's wire formats: media stream messages, TwiML, signatures, REST. No models, no settings."""
