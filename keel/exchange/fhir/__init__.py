"""FHIR R4: Questionnaire (`questionnaire`) and QuestionnaireResponse (`response`), both ways, scores in FHIRPath."""
